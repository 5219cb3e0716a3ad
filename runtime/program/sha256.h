#ifndef LARQ_MELIUS_PROGRAM_SHA256_H_
#define LARQ_MELIUS_PROGRAM_SHA256_H_

#include <string>

#include "flatbuffer.h"

namespace larq_melius::program {

// SHA-256 (FIPS 180-4) in 64 hexadecimal digits.
std::string Sha256(Bytes data);

// Checks a file against the hash that it carries of its own contents (larq_melius/content_hash.py), if it carries one.
//
// Throws Error if the file is not what was exported.
void CheckContent(Bytes file);

}  // namespace larq_melius::program

#endif  // LARQ_MELIUS_PROGRAM_SHA256_H_
