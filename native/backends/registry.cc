#include "backends/registry.h"

namespace hax {

Status OpenBackend(const std::string& name, std::shared_ptr<Hypervisor>* out) {
  if (name == "null") return OpenNull(out);
#if defined(__x86_64__) || defined(_M_X64)
  if (name == "haxm") return OpenHaxm(out);
#endif
#ifdef __linux__
  if (name == "kvm") return OpenKvm(out);
#endif
  return Status::Error(Code::kUnknownBackend, "open", "there is no backend '" + name + "' in this build");
}

const char* const* PublicBackends() {
#ifdef __linux__
  static const char* const kNames[] = {"haxm", "kvm", nullptr};
#elif defined(__x86_64__) || defined(_M_X64)
  static const char* const kNames[] = {"haxm", nullptr};
#else
  static const char* const kNames[] = {nullptr};
#endif
  return kNames;
}

}  // namespace hax
