// Where the POSIX hosts differ; os_posix.cc has what they share.
#ifndef NODE_HAX_BACKENDS_HAXM_OS_POSIX_H_
#define NODE_HAX_BACKENDS_HAXM_OS_POSIX_H_

namespace hax::haxm {

// The driver's error number, positive, of what the system left in errno.
int DriverError(int error);

// What to do where a node is not there; empty where nothing is known.
const char* MissingNodeHint();

}  // namespace hax::haxm

#endif  // NODE_HAX_BACKENDS_HAXM_OS_POSIX_H_
