/* Raw system calls. The stage runs before main and must not depend on the
 * state of the C library: no errno, no malloc, no stdio. A negative result is
 * -errno. */
#ifndef HOLDFAST_SYS_H
#define HOLDFAST_SYS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

/* Everything the stage consists of stands in two sections of its own: they are
 * also taken out of this program as a program for themselves (launcher.go),
 * which must not refer to anything else. Hence no string literals, no jump
 * tables, no vector constants, no calls into the C library. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-jump-tables", "no-tree-switch-conversion", "no-stack-protector")
#pragma GCC target("general-regs-only")
#endif

#if defined(__x86_64__)
static inline __attribute__((always_inline)) long sys6(long n, long a, long b, long c, long d, long e, long f) {
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long r;
	__asm__ volatile("syscall"
			 : "=a"(r)
			 : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return r;
}
#define STAGE_AUDIT_ARCH 0xc000003eu
#elif defined(__aarch64__)
static inline __attribute__((always_inline)) long sys6(long n, long a, long b, long c, long d, long e, long f) {
	register long x8 __asm__("x8") = n;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;
	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
}
#define STAGE_AUDIT_ARCH 0xc00000b7u
#else
#error "the stage supports x86-64 and arm64"
#endif

#define TEXT __attribute__((section("holdfast_text")))
#define DATA __attribute__((section("holdfast_data")))

/* The compiler may call these whatever it is told. */
static TEXT __attribute__((used)) void *memset(void *to, int c, size_t n) {
	for (size_t i = 0; i < n; i++)
		((volatile unsigned char *)to)[i] = (unsigned char)c;
	return to;
}
static TEXT __attribute__((used)) void *memcpy(void *to, const void *from, size_t n) {
	for (size_t i = 0; i < n; i++)
		((volatile unsigned char *)to)[i] = ((const unsigned char *)from)[i];
	return to;
}

#define SYS_(n, a, b, c, d, e, f, ...) \
	sys6(SYS_##n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define SYS(n, ...) SYS_(n, ##__VA_ARGS__, 0, 0, 0, 0, 0, 0)

#endif
