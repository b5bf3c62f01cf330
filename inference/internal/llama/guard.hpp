// Internal to the shim: running C++ that must neither throw nor outgrow its budget.
#pragma once

#include "shim.h"

#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <string>

namespace hf {

inline void set_text(hf_text * t, const std::string & s) {
    if (t == nullptr) {
        return;
    }
    t->data = static_cast<char *>(std::malloc(s.size() + 1));
    t->size = 0;
    if (t->data != nullptr) {
        std::memcpy(t->data, s.data(), s.size());
        t->data[s.size()] = 0;
        t->size           = s.size();
    }
}

// Runs f and turns whatever it throws into code 1 and a message.
template <typename F> int guarded(hf_text * err, F f) {
    try {
        f();
        return 0;
    } catch (const std::exception & e) {
        set_text(err, *e.what() ? e.what() : "unnamed exception");
    } catch (...) {
        set_text(err, "unknown exception");
    }
    return 1;
}

// Like guarded, on a thread of its own whose stack, live memory and wall clock are bounded. Templates, schemas
// and model output are untrusted: a template can loop, recurse or double a string without end.
int bounded(hf_budget budget, hf_text * err, const std::function<void()> & f);

// Like guarded, for what looks at `size` bytes of text with std::regex, which recurses once for each character it
// goes on over (320 to 610 bytes of stack, by pattern): a long text gets a thread with a stack to match. Texts of
// more than deepest bytes are refused.
constexpr size_t deepest = size_t(8) << 20;
int deep(size_t size, hf_text * err, const std::function<void()> & f);

}  // namespace hf
