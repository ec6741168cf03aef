/* What no image should have, and some do: whoever runs it is root. For tests of what arl does then.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc < 2 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) {
        perror("asroot");
        return 1;
    }
    execvp(argv[1], argv + 1);
    perror(argv[1]);
    return 127;
}
