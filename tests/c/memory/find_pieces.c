/*
 * Searches a file for the lines of another one, and for every piece of 16 bytes of them. Prints what it finds, and
 * exits with 1 if there is anything.
 *
 * usage: find_pieces FILE LINES
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

int main(int argc, char **argv) {
    enum { PIECE = 16 };
    char line[1024];
    struct stat state;
    int found = 0, lines = 0;
    int file = argc == 3 ? open(argv[1], O_RDONLY) : -1;
    FILE *text = argc == 3 ? fopen(argv[2], "r") : NULL;
    if (file < 0 || text == NULL || fstat(file, &state) != 0 || state.st_size == 0) {
        fprintf(stderr, "usage: find_pieces FILE LINES\n");
        return 2;
    }
    const char *all = mmap(NULL, (size_t)state.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (all == MAP_FAILED) {
        perror(argv[1]);
        return 2;
    }
    while (fgets(line, sizeof line, text) != NULL) {
        size_t len = strcspn(line, "\n");
        int pieces = 0;
        for (size_t i = 0; i + PIECE <= len; i++) {
            pieces += memmem(all, (size_t)state.st_size, line + i, PIECE) != NULL;
        }
        if (pieces > 0) {
            printf("found %d pieces of: %.*s\n", pieces, (int)len, line);
            found = 1;
        }
        lines++;
    }
    return lines == 0 ? 2 : found;
}
