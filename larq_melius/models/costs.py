"""What the networks of the zoo cost, for listings that do not wait for TensorFlow to count it.

``tests/larq_melius/models/test_costs.py`` compares the table with ``count_operations``.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """The cost of one network with its usual stem, image and classes, counted as in the paper.

    Attributes:
        binary_macs: Binary multiply-accumulates.
        float_macs: 32-bit multiply-accumulates, without the classifier.
        params: Variables, as Keras counts them.
        size_bytes: Size with one bit for each binary weight.
    """

    binary_macs: int
    float_macs: int
    params: int
    size_bytes: int

    @property
    def ops(self) -> int:
        """``binary_macs`` over 64 plus ``float_macs``: the paper's OPs."""
        return self.binary_macs // 64 + self.float_macs

    @property
    def size_mib(self) -> float:
        """Size in MiB, which the paper prints as MB."""
        return self.size_bytes / 2**20


#: By the name of the network.
COSTS: dict[str, Cost] = {
    "MeliusNet22": Cost(4_624_220_160, 135_876_608, 6_969_672, 4_065_568),
    "MeliusNet23": Cost(2_532_483_072, 73_871_616, 8_217_544, 3_895_840),
    "MeliusNet29": Cost(5_469_585_408, 128_851_968, 11_368_776, 5_315_872),
    "MeliusNet42": Cost(9_692_798_976, 174_010_368, 26_918_984, 10_594_080),
    "MeliusNet59": Cost(18_316_247_040, 245_762_048, 55_747_528, 18_234_400),
    "MeliusNetA": Cost(4_851_818_496, 86_729_216, 9_272_648, 4_243_744),
    "MeliusNetB": Cost(5_722_472_448, 106_423_296, 12_283_208, 5_245_216),
    "MeliusNetC": Cost(4_353_269_760, 82_213_376, 12_284_616, 4_678_176),
    "MeliusNetTiny": Cost(24_772_608, 331_776, 691_082, 180_520),
    "BinaryDenseNet28": Cost(3_587_383_296, 152_535_040, 5_146_824, 4_226_080),
    "BinaryDenseNet37": Cost(4_506_808_320, 149_725_184, 8_730_440, 5_367_072),
    "BinaryDenseNet45": Cost(6_430_556_160, 193_930_240, 13_935_560, 7_688_736),
    "NaiveNet17": Cost(6_441_394_176, 157_050_880, 10_020_136, 3_420_192),
    "ResNetE18": Cost(1_676_279_808, 87_908_352, 11_695_700, 4_174_648),
    "BiRealNet34": Cost(3_525_967_872, 87_908_352, 21_811_284, 5_466_936),
}
