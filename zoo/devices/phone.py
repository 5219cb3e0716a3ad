"""What a phone says about itself: its hardware, its battery, and how hot it is."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from larq_melius.zoo.devices.adb import Adb, DeviceError
from larq_melius.zoo.devices.results import Device, State

#: Android's names of its thermal statuses, by their numbers.
THERMAL_STATUSES = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
_SECONDS_BETWEEN_LOOKS = 5.0


@dataclass(frozen=True)
class Cooling:
    """How a hot phone is waited for.

    Attributes:
        accepted: The thermal status in which it may be measured.
        patience: Seconds to wait for that.
    """

    accepted: int = 0
    patience: float = 600


def describe_device(adb: Adb) -> Device:
    """What a phone's properties say; the benchmark itself finds out the rest."""
    get = adb.properties.get
    return Device(
        manufacturer=get("ro.product.manufacturer") or None,
        model=get("ro.product.model") or None,
        soc=get("ro.soc.model") or get("ro.board.platform") or get("ro.hardware") or None,
        android_release=get("ro.build.version.release") or None,
        android_sdk=int(get("ro.build.version.sdk", "0")) or None,
        abi=None,
        cores=None,
        core_max_mhz=(),
        memory_bytes=None,
    )


def describe_state(adb: Adb) -> State:
    """A phone's battery and thermal status, which it tells only to adb; the benchmark itself finds out the rest."""
    battery = adb.shell("dumpsys battery").stdout
    level, scale, celsius = (_number(battery, name) for name in ("level", "scale", "temperature"))
    feeds = re.findall(r"^\s*\w+ powered: (true|false)", battery, re.MULTILINE)
    return State(
        thermal_status=thermal_status(adb),
        hottest_zone_c=None,
        core_mhz=(),
        battery_percent=None
        if level is None or not 0 <= level <= (scale or 100)
        else round(100 * level / (scale or 100)),
        battery_c=None if celsius is None else celsius / 10,
        charging="true" in feeds if feeds else None,
    )


def thermal_status(adb: Adb) -> int | None:
    """Android's thermal status, 0 to 6; ``None`` on phones that have none, before Android 10."""
    status = _number(adb.shell("dumpsys thermalservice").stdout, "Thermal Status")
    return status if status is not None and 0 <= status < len(THERMAL_STATUSES) else None


def saves_battery(adb: Adb) -> bool:
    """Whether a phone's battery saver is on, which lowers its clocks."""
    return adb.shell("settings get global low_power").stdout.strip() == "1"


def wait_until_cool(adb: Adb, cooling: Cooling, say: Callable[[str], None]) -> None:
    """Waits until a phone does not throttle for heat any more.

    Args:
        adb: The phone.
        cooling: For what to wait, and how long.
        say: Gets a line when the wait begins, and whenever the status has changed.

    Raises:
        DeviceError: If it stays hot, or is gone.
    """
    start = time.monotonic()
    said = None
    while (number := thermal_status(adb) or 0) > cooling.accepted:
        status = THERMAL_STATUSES[number]
        if time.monotonic() - start >= cooling.patience:
            raise DeviceError(
                f"{adb} is too hot after {cooling.patience:g} s of waiting (thermal status {status}): cool it, or "
                f"measure it as it is by --throttling {status}."
            )
        if status != said:
            accepted = THERMAL_STATUSES[cooling.accepted]
            say(f"The phone is hot (thermal status {status}): waiting for {accepted}, at most {cooling.patience:g} s")
            said = status
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _number(text: str, name: str) -> int | None:
    found = re.search(rf"^\s*{name}: (-?\d+)\s*$", text, re.MULTILINE)
    return int(found[1]) if found else None
