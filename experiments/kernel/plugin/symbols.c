/* SPDX-License-Identifier: MIT
 *
 * symbols: a QEMU TCG plugin (API v1, QEMU 7.2) that counts guest instructions by the nearest enclosing symbol
 * of a list: a function with all that it calls and that is not on the list itself.
 *
 * It follows calls and returns on a shadow stack per task. A translation block that ends in a call makes the
 * stack deeper, one that ends in a return shallower; a block that starts a listed function, and was not reached
 * by a loop inside it, pushes the function. A task switch is seen at the two instructions of __switch_to_asm that
 * store and load the stack pointer: their addresses tell the tasks apart. Interrupts push a symbol of their own
 * ("irq") and leave with iret. rep movs and rep stos count once per element, as with -icount.
 *
 * Window: the guest executes the 7-byte nop 0f 1f 80 <imm32> with imm32 = 0x67540001 to start and 0x67540002 to
 * stop and write. Output: "#dump N user U", then "T symbol instructions calls" per listed symbol ("-": the kernel
 * outside all of them), "L symbol function instructions" for where they fell, "C function calls".
 *
 *   gcc -O2 -shared -fPIC -o symbols.so symbols.c
 *   qemu-system-x86_64 -smp 1 ... -append "nokaslr mitigations=off ..." \
 *     -plugin symbols.so,out=OUT.txt,kallsyms=KALLSYMS.txt,tops=SYMBOLS.txt
 *
 * kallsyms: the guest's /proc/kallsyms, written by the guest before the first window. tops: one "label name
 * [module]" a line; the label "irq" takes the interrupts. One virtual CPU only.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stddef.h>
#include <stdbool.h>
typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb; struct qemu_plugin_insn;
__attribute__((visibility("default"))) int qemu_plugin_version = 1;
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *), int flags, void *);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, void (*)(unsigned, void *), int flags, void *);
enum { OTHER, CALL, RET, IRET };
enum qemu_plugin_mem_rw { MR = 1, MW, MRW };
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *, void (*)(unsigned, uint32_t, uint64_t, void *), int flags, enum qemu_plugin_mem_rw rw, void *);
struct tb { uint64_t va; uint32_t insns; uint8_t end; int8_t entry; int leaf, top; };
#define KERN 0xffff800000000000ull
#define MAXL 8192
#define MAXT 256
static struct { uint64_t a; char n[64]; int top, leaf; } *sy; static int nsy;
static char tname[MAXT][64], tmod[MAXT][32], tlab[MAXT][64]; static int ntop;
static int leafsym[MAXL], nleaf = 1;
static uint64_t (*ins)[MAXL], calls[MAXT], lcalls[MAXL], user_ins;
static FILE *out; static int dumpno, active, loaded; static const char *ks, *tf;
struct task { uint64_t key; int sp, depth; struct tb *prev; struct { int at, top; } st[512]; };
static struct task *tasks[256], *cur; static int ntask; static int irqtop = -1;
#define st (cur->st)
#define sp (cur->sp)
#define depth (cur->depth)
#define prev (cur->prev)
static void sw(unsigned cpu, uint32_t info, uint64_t va, void *p)
{
	int i;
	if (!cur) return;
	if (p) { if (!cur->key) cur->key = va; return; }
	for (i = 0; i < ntask; i++) if (tasks[i]->key == va) break;
	if (i == ntask) { if (ntask == 256) return; tasks[ntask] = calloc(1, sizeof **tasks); tasks[ntask++]->key = va; }
	cur = tasks[i]; prev = NULL;
}
static int cmp(const void *a, const void *b) { uint64_t x = *(uint64_t *)a, y = *(uint64_t *)b; return x < y ? -1 : x > y; }
static void load(void)
{
	FILE *f = fopen(tf, "r"); char l[256], t, n[128], m[64]; uint64_t a;
	while (fgets(l, sizeof l, f)) { m[0] = 0; if (sscanf(l, "%63s %63s %31s", tlab[ntop], tname[ntop], tmod[ntop]) >= 2) ntop++; }
	fclose(f);
	f = fopen(ks, "r"); sy = calloc(400000, sizeof *sy);
	while (fgets(l, sizeof l, f)) {
		m[0] = 0; if (sscanf(l, "%lx %c %127s [%63[^]]", &a, &t, n, m) < 3 || !strchr("tTwW", t)) continue;
		sy[nsy].a = a; snprintf(sy[nsy].n, 64, "%s", n); sy[nsy].top = -1; sy[nsy].leaf = 0;
		for (int i = 0; i < ntop; i++) if (!strcmp(tname[i], n) && !strcmp(tmod[i], m)) sy[nsy].top = i;
		nsy++;
	}
	fclose(f); qsort(sy, nsy, sizeof *sy, cmp);
	int k = 0; for (int i = 0; i < nsy; i++) { if (k && sy[k-1].a == sy[i].a) { if (sy[i].top >= 0) sy[k-1] = sy[i]; } else sy[k++] = sy[i]; }
	nsy = k; loaded = 1; for (int i = 0; i < ntop; i++) if (!strcmp(tlab[i], "irq")) irqtop = i; ins = calloc(MAXT, sizeof *ins);
	for (int i = 0; i < ntop; i++) { int ok = 0; for (int j = 0; j < nsy; j++) ok |= sy[j].top == i; if (!ok) fprintf(out, "# missing %s\n", tlab[i]); }
}
static void resolve(struct tb *e)
{
	int lo = 0, hi = nsy;
	e->leaf = 0; e->top = -1; e->entry = 0;
	if (e->va < KERN) return;
	while (hi - lo > 1) { int m = (lo + hi) / 2; if (sy[m].a <= e->va) lo = m; else hi = m; }
	if (!sy[lo].leaf && nleaf < MAXL) { sy[lo].leaf = nleaf; leafsym[nleaf++] = lo; }
	e->leaf = sy[lo].leaf; e->entry = sy[lo].a == e->va;
	if (e->entry) { e->top = sy[lo].top; if (!strncmp(sy[lo].n, "asm_sysvec_", 11) || !strcmp(sy[lo].n, "asm_common_interrupt") || !strncmp(sy[lo].n, "irq_entries_start", 17)) e->top = irqtop; }
}
/* Back to where the last interrupt came, if one is on the stack: iret also ends what no interrupt began. */
static void leave_irq(void)
{
	int i = sp;

	while (i-- > 0)
		if (st[i].top == irqtop) { depth = st[i].at; sp = i; return; }
}
static void exec(unsigned cpu, void *p)
{
	struct tb *e = p;
	if (!active) return;
	if (e->leaf < 0) resolve(e);
	int jumped = !prev;
	if (prev) {
		if (prev->end == CALL) { depth++; jumped = 1; }
		else if (prev->end == IRET) { leave_irq(); jumped = 1; }
		else if (prev->end == RET) { depth--; while (sp && st[sp-1].at > depth) sp--; }
		else jumped = prev->leaf != e->leaf;
	}
	prev = e;
	if (e->va < KERN) { sp = depth = 0; user_ins += e->insns; return; }
	if (e->entry) {
		/* An interrupt may come between a return and where it returns to: it is entered all the same. */
		jumped |= e->top >= 0 && e->top == irqtop;
		if (jumped) lcalls[e->leaf]++;
		if (jumped && e->top >= 0 && sp < 511) { st[sp].at = depth; st[sp].top = e->top; sp++; calls[e->top]++; }
	}
	ins[sp ? st[sp-1].top + 1 : 0][e->leaf] += e->insns;
}
static void magic(unsigned cpu, void *p)
{
	uintptr_t op = (uintptr_t)p; int i, j;
	if (!loaded) load();
	if (op == 2) {
		fprintf(out, "#dump %d user %lu\n", dumpno++, user_ins);
		for (i = 0; i <= ntop; i++) { uint64_t s = 0; for (j = 0; j < nleaf; j++) s += ins[i][j]; if (s || (i && calls[i-1])) fprintf(out, "T %s %lu %lu\n", i ? tlab[i-1] : "-", s, i ? calls[i-1] : 0); }
		for (i = 0; i <= ntop; i++) for (j = 0; j < nleaf; j++) if (ins[i][j]) fprintf(out, "L %s %s %lu\n", i ? tlab[i-1] : "-", j ? sy[leafsym[j]].n : "?", ins[i][j]);
		for (j = 0; j < nleaf; j++) if (lcalls[j]) fprintf(out, "C %s %lu\n", sy[leafsym[j]].n, lcalls[j]);
		fflush(out);
	}
	memset(ins, 0, MAXT * sizeof *ins); memset(calls, 0, sizeof calls); memset(lcalls, 0, sizeof lcalls); user_ins = 0;
	ntask = 1; tasks[0] = cur = calloc(1, sizeof *cur); active = op == 1;
}
static void trans(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t n = qemu_plugin_tb_n_insns(tb), i;
	struct tb *e = calloc(1, sizeof *e);
	e->va = qemu_plugin_tb_vaddr(tb); e->insns = n; e->leaf = -1;
	struct qemu_plugin_insn *in = qemu_plugin_tb_get_insn(tb, n - 1);
	const uint8_t *d = qemu_plugin_insn_data(in); size_t s = qemu_plugin_insn_size(in);
	while (s > 1 && (*d == 0xf3 || *d == 0xf2 || *d == 0x3e || *d == 0x2e || *d == 0x66 || (*d & 0xf0) == 0x40)) d++, s--;
	if (*d == 0xe8 || (*d == 0xff && s > 1 && ((d[1] >> 3) & 7) == 2)) e->end = CALL;
	else if (*d == 0xc3 || *d == 0xc2) e->end = RET;
	else if (*d == 0xcf) e->end = IRET;
	qemu_plugin_register_vcpu_tb_exec_cb(tb, exec, 0, e);
	for (i = 0; i < n; i++) {
		in = qemu_plugin_tb_get_insn(tb, i);
		d = qemu_plugin_insn_data(in);
		if (qemu_plugin_insn_size(in) == 7 && d[0] == 0x48 && ((d[1] == 0x8b && d[2] == 0xa6) || (d[1] == 0x89 && d[2] == 0xa7)))
			qemu_plugin_register_vcpu_mem_cb(in, sw, 0, MRW, (void *)(uintptr_t)(d[1] == 0x89));
		d = qemu_plugin_insn_data(in);
		if (qemu_plugin_insn_size(in) == 7 && d[0] == 0x0f && d[1] == 0x1f && d[2] == 0x80 && d[4] == 0 && d[5] == 0x54 && d[6] == 0x67)
			qemu_plugin_register_vcpu_insn_exec_cb(in, magic, 0, (void *)(uintptr_t)d[3]);
	}
}
__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
	const char *f = "/tmp/out.txt"; int i;
	for (i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "out=", 4)) f = strdup(argv[i] + 4);
		if (!strncmp(argv[i], "kallsyms=", 9)) ks = strdup(argv[i] + 9);
		if (!strncmp(argv[i], "tops=", 5)) tf = strdup(argv[i] + 5);
	}
	out = fopen(f, "w");
	qemu_plugin_register_vcpu_tb_trans_cb(id, trans);
	return 0;
}
