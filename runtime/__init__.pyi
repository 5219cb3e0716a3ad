from .interpreter import Interpreter as Interpreter
from .interpreter import Runtime as Runtime
from .interpreter import TensorInfo as TensorInfo
from .lce_interpreter import make_interpreter as make_interpreter
from .library import delegate as delegate
from .library import find_library as find_library
