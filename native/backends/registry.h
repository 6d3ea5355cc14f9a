#ifndef NODE_HAX_BACKENDS_REGISTRY_H_
#define NODE_HAX_BACKENDS_REGISTRY_H_

#include <memory>
#include <string>

#include "core/hypervisor.h"

namespace hax {

// Opens the device of the backend `name`: "haxm", "kvm" or "null". Never falls back to another.
Status OpenBackend(const std::string& name, std::shared_ptr<Hypervisor>* out);

// The backends of this build, in the order in which an unnamed open() tries them; "null" is not among them.
const char* const* PublicBackends();

Status OpenHaxm(std::shared_ptr<Hypervisor>* out);
Status OpenKvm(std::shared_ptr<Hypervisor>* out);
Status OpenNull(std::shared_ptr<Hypervisor>* out);

}  // namespace hax

#endif  // NODE_HAX_BACKENDS_REGISTRY_H_
