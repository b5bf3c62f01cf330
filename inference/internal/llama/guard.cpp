// Budgets for untrusted input. The global operator new is replaced: llama.cpp's template engine, parser and
// schema converter allocate at every step, so counting allocations bounds time and memory at once, without a
// change to llama.cpp. Threads without a budget pay one thread-local test.
#include "guard.hpp"

#include <malloc.h>
#include <pthread.h>

#include <chrono>
#include <cstdint>
#include <new>
#include <stdexcept>

namespace {

constexpr size_t stack_size  = size_t(512) << 20;
constexpr size_t stack_limit = size_t(480) << 20;

struct budget_exceeded : std::bad_alloc {
    explicit budget_exceeded(const char * what) : text(what) {}
    const char * what() const noexcept override { return text; }
    const char * text;
};

struct budget_state {
    bool         active = false;
    int64_t      live   = 0; // bytes
    int64_t      limit  = 0;
    uint64_t     count  = 0;
    const char * base   = nullptr; // stack address at the start
    const char * broken = nullptr; // first limit that was exceeded
    std::chrono::steady_clock::time_point deadline;
};

thread_local budget_state state;

[[noreturn]] void exceed(const char * what) {
    state.broken = what;
    throw budget_exceeded(what);
}

void charge(void * p) {
    if (!state.active) {
        return;
    }
    state.live += int64_t(malloc_usable_size(p));
    const char * here = static_cast<const char *>(__builtin_frame_address(0));
    const char * what = nullptr;
    if (state.live > state.limit) {
        what = "memory budget exceeded";
    } else if (size_t(state.base - here) > stack_limit) {
        what = "nested too deeply";
    } else if ((++state.count & 1023) == 0 && std::chrono::steady_clock::now() > state.deadline) {
        what = "time budget exceeded";
    }
    if (what != nullptr) {
        state.live -= int64_t(malloc_usable_size(p));
        std::free(p);
        exceed(what);
    }
}

struct job {
    const std::function<void()> * f;
    hf_budget                     budget;
    hf_text *                     err;
    int                           rc;
};

void * run(void * arg) {
    job * j        = static_cast<job *>(arg);
    state          = budget_state();
    state.limit    = int64_t(j->budget.bytes);
    state.base     = static_cast<const char *>(__builtin_frame_address(0));
    state.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(j->budget.milliseconds);
    j->rc          = 0;
    std::string what;
    try {
        state.active = true;
        (*j->f)();
        state.active = false;
        if (state.broken != nullptr) { // swallowed on the way: the result cannot be trusted
            throw budget_exceeded(state.broken);
        }
    } catch (const std::exception & e) {
        state.active = false;
        what         = state.broken != nullptr ? state.broken : e.what();
        j->rc        = 1;
    } catch (...) {
        state.active = false;
        what         = "unknown exception";
        j->rc        = 1;
    }
    if (j->rc != 0) {
        hf::set_text(j->err, what.empty() ? "unnamed exception" : what);
    }
    return nullptr;
}

// What a long text may take of a stack, and what any thread has.
constexpr size_t stack_per_byte = 1024;
constexpr size_t ordinary       = 4096; // bytes of text

void * run_guarded(void * arg) {
    job * j = static_cast<job *>(arg);
    j->rc   = hf::guarded(j->err, *j->f);
    return nullptr;
}

int on_thread(size_t stack, void * (*start)(void *), job & j) {
    pthread_attr_t attr;
    pthread_t      thread;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, stack);
    const int rc = pthread_create(&thread, &attr, start, &j);
    pthread_attr_destroy(&attr);
    if (rc != 0) {
        hf::set_text(j.err, std::string("create thread: ") + std::strerror(rc));
        return 1;
    }
    pthread_join(thread, nullptr);
    return j.rc;
}

}  // namespace

namespace hf {

int bounded(hf_budget budget, hf_text * err, const std::function<void()> & f) {
    job j = { &f, budget, err, 1 };
    return on_thread(stack_size, run, j);
}

int deep(size_t size, hf_text * err, const std::function<void()> & f) {
    if (size <= ordinary) {
        return guarded(err, f);
    }
    if (size > deepest) {
        set_text(err, std::to_string(size) + " bytes of text are too long: at most " + std::to_string(deepest));
        return 1;
    }
    job j = { &f, {}, err, 1 };
    return on_thread((size_t(64) << 20) + size * stack_per_byte, run_guarded, j);
}

}  // namespace hf

void * operator new(size_t n) {
    void * p = std::malloc(n == 0 ? 1 : n);
    if (p == nullptr) {
        throw std::bad_alloc();
    }
    charge(p);
    return p;
}

void * operator new[](size_t n) { return operator new(n); }

void operator delete(void * p) noexcept {
    if (state.active && p != nullptr) {
        state.live -= int64_t(malloc_usable_size(p));
    }
    std::free(p);
}

void operator delete[](void * p) noexcept { operator delete(p); }
void operator delete(void * p, size_t) noexcept { operator delete(p); }
void operator delete[](void * p, size_t) noexcept { operator delete(p); }
