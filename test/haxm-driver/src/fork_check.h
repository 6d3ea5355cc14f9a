// What has to be looked at before a fork.
#pragma once

namespace haxm_model {

void CheckFork();

}  // namespace haxm_model
