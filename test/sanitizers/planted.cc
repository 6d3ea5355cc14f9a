// An addon with one bug of each kind, for scripts/sanitize --self-test: a gate that does not find these finds nothing.
#include <node_api.h>

#include <cstring>
#include <mutex>
#include <thread>

namespace {

// What the compiler must not see through.
volatile int one = 1;
volatile int sink;
int shared;
char copied[128];
std::mutex mutex;

void Overflow() {
  char* bytes = new char[16];
  bytes[16 * one] = 1;
  delete[] bytes;
}

void UseAfterFree() {
  int* volatile number = new int(5);
  delete number;
  sink = *number;
}

void Leak() {
  char* bytes = new char[100];
  bytes[0] = static_cast<char>(one);
  sink = bytes[0];
}

void Shift() { sink = one << (40 * one); }

template <typename Body>
void OfTwoThreads(Body body) {
  const auto often = [body] {
    for (int i = 0; i < 1000; i++) body();
  };
  std::thread first(often), second(often);
  first.join();
  second.join();
}

void Race() {
  OfTwoThreads([] { shared++; });
}

void RaceOfCopies() {
  OfTwoThreads([] { memcpy(copied, copied + 64, 64 * one); });
}

void RaceInOrder() {
  OfTwoThreads([] {
    std::lock_guard<std::mutex> lock(mutex);
    shared++;
    memcpy(copied, copied + 64, 64 * one);
  });
}

void Nothing() {}

template <void (*body)()>
napi_value Call(napi_env, napi_callback_info) {
  body();
  return nullptr;
}

}  // namespace

NAPI_MODULE_INIT() {
  const struct {
    const char* name;
    napi_callback call;
  } functions[] = {
      {"nothing", Call<Nothing>}, {"overflow", Call<Overflow>}, {"useAfterFree", Call<UseAfterFree>}, {"leak", Call<Leak>},
      {"shift", Call<Shift>},     {"race", Call<Race>},         {"raceOfCopies", Call<RaceOfCopies>}, {"raceInOrder", Call<RaceInOrder>}};
  for (const auto& each : functions) {
    napi_value function;
    if (napi_create_function(env, each.name, NAPI_AUTO_LENGTH, each.call, nullptr, &function) != napi_ok ||
        napi_set_named_property(env, exports, each.name, function) != napi_ok) {
      return nullptr;
    }
  }
  return exports;
}
