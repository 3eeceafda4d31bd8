/* ONNX Runtime that hangs: the real library (libonnxruntime.real.so beside this one), whose Run waits for as long as the
   file /run/onnxruntime-hangs exists. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* The functions of OrtApi stand in an order that never changes; this is Run's place in it. */
enum { RUN = 9 };

typedef void *(*run_function)(void *, const void *, const char *const *, const void *const *, size_t, const char *const *, size_t,
                              void **);

struct base {
    void **(*get_api)(uint32_t version);
    const char *(*get_version)(void);
};

static struct base base;
static run_function run;

static void *run_or_hang(void *session, const void *options, const char *const *input_names, const void *const *inputs,
                         size_t input_count, const char *const *output_names, size_t output_count, void **outputs) {
    while (access("/run/onnxruntime-hangs", F_OK) == 0)
        usleep(20000);
    return run(session, options, input_names, inputs, input_count, output_names, output_count, outputs);
}

static void die(const char *what) {
    fprintf(stderr, "hang: %s\n", what);
    abort();
}

static const struct base *real(void) {
    static const struct base *found;
    if (!found) {
        void *library = dlopen("/usr/lib/edgetuned/libonnxruntime.real.so", RTLD_NOW | RTLD_LOCAL);
        const struct base *(*get)(void);
        if (!library)
            die(dlerror());
        *(void **)&get = dlsym(library, "OrtGetApiBase");
        if (!get)
            die("no OrtGetApiBase");
        found = get();
    }
    return found;
}

/* The table is constant, so its page is made writable for the one entry. */
static void **get_api(uint32_t version) {
    void **api = real()->get_api(version);
    if (api && api[RUN] != (void *)run_or_hang) {
        uintptr_t size = (uintptr_t)sysconf(_SC_PAGESIZE), page = (uintptr_t)&api[RUN] & ~(size - 1);
        if (mprotect((void *)page, size, PROT_READ | PROT_WRITE))
            die("mprotect");
        run = (run_function)api[RUN];
        api[RUN] = (void *)run_or_hang;
    }
    return api;
}

const struct base *OrtGetApiBase(void) {
    base.get_api = get_api;
    base.get_version = real()->get_version;
    return &base;
}
