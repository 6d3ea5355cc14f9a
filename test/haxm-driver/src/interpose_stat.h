// The stat family's answers for our nodes, for the libc functions and for raw system calls. False: not ours.
#pragma once

#include <sys/stat.h>

#include "driver.h"

namespace haxm_model {

bool StatOurs(int directory, const char* path, int flags, NodeStat* stat, int* result);
bool FstatatOurs(int directory, const char* path, struct stat* to, int flags, int* result);
bool StatxOurs(int directory, const char* path, int flags, struct statx* to, int* result);
bool AccessOurs(int directory, const char* path, int mode, int* result);

}  // namespace haxm_model
