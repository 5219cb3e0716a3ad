# Makes the delegate a library for Android: adds the native methods of its Java class, and leaves it in need of nothing
# but bionic, of which stand-ins with the names in bionic.txt take the place at link time.
set(native ${CMAKE_CURRENT_LIST_DIR})
target_sources(larq_melius_delegate PRIVATE ${native}/jni.cpp ${native}/bionic.cpp)
set(exports ${native}/exports.map)

file(STRINGS ${native}/bionic.txt lines)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${native}/bionic.txt)
foreach(line IN LISTS lines)
  if(line MATCHES "^\\[(lib[a-z]+)\\.so\\]$")
    set(library ${CMAKE_MATCH_1})
    list(APPEND libraries ${library})
    file(WRITE ${CMAKE_BINARY_DIR}/bionic/${library}.s "")
  elseif(line MATCHES "^([A-Za-z_]+) ")
    file(APPEND ${CMAKE_BINARY_DIR}/bionic/${library}.s
      ".globl ${CMAKE_MATCH_1}\n.type ${CMAKE_MATCH_1}, %function\n${CMAKE_MATCH_1}:\n")
  endif()
endforeach()
separate_arguments(compiler UNIX_COMMAND "${CMAKE_CXX_COMPILER_ARG1}")
foreach(library IN LISTS libraries)
  set(stub ${CMAKE_BINARY_DIR}/bionic/${library}.so)
  add_custom_command(OUTPUT ${stub} DEPENDS ${CMAKE_BINARY_DIR}/bionic/${library}.s
    COMMAND ${CMAKE_CXX_COMPILER} ${compiler} -nostdlib -shared -Wl,-soname,${library}.so
      -o ${stub} -x assembler ${CMAKE_BINARY_DIR}/bionic/${library}.s VERBATIM)
  list(APPEND stubs ${stub})
endforeach()
add_custom_target(bionic DEPENDS ${stubs})
add_dependencies(larq_melius_delegate bionic)
# musl's libc.so has the name of bionic's. The linker keeps the first library of a name, and options come first.
target_link_options(larq_melius_delegate PRIVATE ${stubs})
# Phones of Android 15 may have pages of 16 KiB, and only libraries aligned to them can be loaded there.
target_link_options(larq_melius_delegate PRIVATE -Wl,-z,max-page-size=16384 -Wl,-z,common-page-size=16384)
