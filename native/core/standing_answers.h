// Reads whose answer is known before they are made: a byte at a port, which native code puts into the exit page without JavaScript.
// Owned by one VM, used on one thread.
#ifndef NODE_HAX_CORE_STANDING_ANSWERS_H_
#define NODE_HAX_CORE_STANDING_ANSWERS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/exit_page.h"

namespace hax {

class StandingAnswers {
 public:
  void Set(uint16_t port, uint8_t value) {
    if (answers_.empty()) answers_.assign(kPorts, kNone);
    if (answers_[port] == kNone) count_++;
    answers_[port] = value;
  }
  void Remove(uint16_t port) {
    if (answers_.empty() || answers_[port] == kNone) return;
    answers_[port] = kNone;
    count_--;
  }

  bool active() const { return count_ > 0; }
  // Answers the exit if it is a read of one byte from such a port; false: it is JavaScript's.
  bool Answer(ExitPage* page) const {
    if (count_ == 0 || page->kind != static_cast<uint32_t>(ExitKind::kIo) || page->direction != static_cast<uint32_t>(Direction::kIn) ||
        page->count != 1 || page->size != 1 || page->port >= kPorts || answers_[page->port] == kNone) {
      return false;
    }
    page->data[0] = static_cast<uint8_t>(answers_[page->port]);
    return true;
  }

 private:
  static constexpr size_t kPorts = 0x10000;
  static constexpr int16_t kNone = -1;
  std::vector<int16_t> answers_;  // one a port, or empty
  size_t count_ = 0;
};

}  // namespace hax

#endif  // NODE_HAX_CORE_STANDING_ANSWERS_H_
