// The calling thread takes no signals while one of these lives: they wait. A thread that it makes meanwhile begins like that.
#ifndef NODE_HAX_CORE_SIGNALS_BLOCKED_H_
#define NODE_HAX_CORE_SIGNALS_BLOCKED_H_

#include <pthread.h>

#include <csignal>

namespace hax {

class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace hax

#endif  // NODE_HAX_CORE_SIGNALS_BLOCKED_H_
