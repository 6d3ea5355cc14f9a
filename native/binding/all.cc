// All of the binding as one translation unit. Node-API's C++ headers take longer to compile than what is behind them: one at a time these
// files take five times as long.
#include "addon.cc"
#include "binding/convert.cc"
#include "binding/descriptor.cc"
#include "binding/descriptor_watch.cc"
#include "binding/fast_call.cc"
#include "binding/hypervisor.cc"
#include "binding/loop.cc"
#include "binding/memory.cc"
#include "binding/threads.cc"
#include "binding/uv.cc"
#include "binding/vcpu.cc"
#include "binding/vm.cc"
