/* Makes every sync take SLOW_SYNC_US longer, as a memory card or a small SSD does: LD_PRELOAD this.
   A virtual disk answers a sync in 0.1 ms, which no card does. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static void wait_a_while(void)
{
    const char *microseconds = getenv("SLOW_SYNC_US");
    if (microseconds != NULL)
        usleep((useconds_t)atoi(microseconds));
}

int fsync(int descriptor)
{
    int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    wait_a_while();
    return next(descriptor);
}

int fdatasync(int descriptor)
{
    int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    wait_a_while();
    return next(descriptor);
}
