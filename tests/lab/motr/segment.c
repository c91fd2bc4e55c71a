/*
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Maps the segments of a file where their header says, as m0d does (be/seg.c: fixed and private), and lives until it is killed or its
 * input ends. It takes m0d's options, of which it needs one: -D FOLDER, below which the file is. Each line of input, "ADDRESS BYTES" in
 * hexadecimal, is written into memory, and answered. "flip ADDRESS BYTES" changes those bytes for the others and back until the next line.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MOST_ITEMS = 16, ITEMS_AT = 32, LINE = 1 << 17, BYTES = LINE / 2 };

struct item {
	uint64_t size, address, offset, id, generation;
};

static unsigned char before[BYTES], after[BYTES];
static unsigned char *flipped;
static size_t flipped_bytes;
static atomic_bool flipping;

static void fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static void map_all(const char *folder)
{
	char path[4096];
	uint32_t count;
	struct item items[MOST_ITEMS];

	snprintf(path, sizeof path, "%s/o/100000000000000:2a", folder);
	int file = open(path, O_RDWR | O_CLOEXEC);
	if (file < 0)
		fail(path);
	if (pread(file, &count, sizeof count, 24) != sizeof count || count == 0 || count > MOST_ITEMS)
		fail("header");
	if (pread(file, items, count * sizeof items[0], ITEMS_AT) != (ssize_t)(count * sizeof items[0]))
		fail("items");
	for (uint32_t i = 0; i < count; i++) {
		void *wanted = (void *)(uintptr_t)items[i].address;
		void *found = mmap(wanted, items[i].size, PROT_READ | PROT_WRITE, MAP_FIXED_NOREPLACE | MAP_PRIVATE, file, (off_t)items[i].offset);
		if (found != wanted)
			fail("mmap");
	}
	close(file);
}

static size_t bytes_of(const char *text, unsigned char *bytes)
{
	size_t count = 0;
	unsigned value;

	while (count < BYTES && sscanf(text + 2 * count, "%2x", &value) == 1)
		bytes[count++] = (unsigned char)value;
	return count;
}

static void *flip(void *unused)
{
	while (atomic_load(&flipping)) {
		memcpy(flipped, after, flipped_bytes);
		usleep(50);
		memcpy(flipped, before, flipped_bytes);
		usleep(50);
	}
	return unused;
}

int main(int argc, char **argv)
{
	static char line[LINE];
	const char *folder = NULL;
	pthread_t thread;

	for (int i = 1; i + 1 < argc; i++)
		if (strcmp(argv[i], "-D") == 0)
			folder = argv[i + 1];
	if (folder != NULL)
		map_all(folder);
	puts("mapped");
	fflush(stdout);
	while (fgets(line, sizeof line, stdin) != NULL) {
		char *text = line;
		int start = strncmp(text, "flip ", 5) == 0;

		if (atomic_exchange(&flipping, 0))
			pthread_join(thread, NULL);
		if (start)
			text += 5;
		unsigned char *place = (unsigned char *)(uintptr_t)strtoull(text, &text, 16);
		flipped_bytes = bytes_of(text + 1, after);
		if (start) {
			flipped = place;
			memcpy(before, place, flipped_bytes);
			atomic_store(&flipping, 1);
			if (pthread_create(&thread, NULL, flip, NULL) != 0)
				fail("thread");
		} else {
			memcpy(place, after, flipped_bytes);
		}
		puts("written");
		fflush(stdout);
	}
	return 0;
}
