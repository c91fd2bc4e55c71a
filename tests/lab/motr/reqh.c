/*
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A process that a debugger meets as it would m0d: the structures, names and states of Motr's request handler, in which threads take foms from
 * queues and run them all the time. A socket on 127.0.0.1 answers each line with 0, or with -108 when the handler is not in its normal state.
 * It prints the port, and then does what it reads, a line at a time, answering each with "done":
 *   spin N       N foms run on and on      wait N       N more foms wait            age N        as if foms had waited for N seconds
 *   state N      the handler's state       service N S  state S of service N        normal       what the handler's state is
 *   torn         a list that has no end    fini         it is shutting down
 */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct m0_list_link { struct m0_list_link *ll_next, *ll_prev; };
struct m0_list { struct m0_list_link *l_head, *l_tail; };
struct m0_tl { struct m0_list t_head; };
struct m0_tlink { struct m0_list_link t_link; };
struct m0_fid { uint64_t f_container, f_key; };

struct m0_sm_state_descr { uint32_t sd_flags; const char *sd_name; void (*sd_in)(void); uint64_t sd_allowed; };
struct m0_sm_conf { uint64_t scf_magic; const char *scf_name; uint32_t scf_nr_states; struct m0_sm_state_descr *scf_state; };
struct m0_sm { uint32_t sm_state; uint64_t sm_id; const struct m0_sm_conf *sm_conf; void *sm_grp; uint64_t sm_state_epoch; int32_t sm_rc; };

enum m0_reqh_states { M0_REQH_ST_INIT, M0_REQH_ST_NORMAL, M0_REQH_ST_DRAIN, M0_REQH_ST_SVCS_STOP, M0_REQH_ST_STOPPED, M0_REQH_ST_NR };
enum m0_fom_state { M0_FOS_INIT, M0_FOS_READY, M0_FOS_RUNNING, M0_FOS_WAITING, M0_FOS_FINISH };

struct m0_reqh {
	uint64_t rh_magic;
	struct m0_sm rh_sm;
	struct m0_tl rh_services;
	struct m0_tl rh_rpc_machines;
	struct m0_fid rh_fid;
};
struct m0_reqh_service_type { const char *rst_name; unsigned rst_key; };
struct m0_reqh_service {
	struct m0_fid rs_service_fid;
	const struct m0_reqh_service_type *rs_type;
	struct m0_sm rs_sm;
	struct m0_reqh *rs_reqh;
	struct m0_tlink rs_linkage;
};

struct m0_net_end_point { uint64_t nep_magix; const char *nep_addr; };
struct m0_rpc_chan { struct m0_tlink rc_linkage; struct m0_net_end_point *rc_destep; };
struct m0_net_transfer_mc { int ntm_state; struct m0_net_end_point *ntm_ep; };
struct m0_rpc_machine {
	struct m0_net_transfer_mc rm_tm;
	struct m0_tl rm_incoming_conns, rm_outgoing_conns;
	struct m0_reqh *rm_reqh;
	struct m0_tlink rm_rh_linkage;
};
struct m0_rpc_conn {
	uint64_t c_sender_id, c_flags;
	struct m0_tlink c_link;
	struct m0_tl c_sessions;
	struct m0_rpc_chan *c_rpcchan;
	struct m0_sm c_sm;
	struct m0_fid c_svc_fid;
};
struct m0_rpc_session { uint64_t s_session_id; struct m0_tlink s_link; struct m0_sm s_sm; bool s_cancelled; };

struct m0_fop_type { uint64_t ft_magix; const char *ft_name; };
struct m0_fop { const struct m0_fop_type *f_type; };
struct m0_fom;
struct m0_fom_ops { int (*fo_tick)(struct m0_fom *fom); };
struct m0_fom_type { uint64_t ft_id; struct m0_sm_conf ft_conf, ft_state_conf; const struct m0_reqh_service_type *ft_rstype; };
struct m0_loc_thread;
struct m0_fom_domain;
struct m0_fom_locality {
	struct m0_fom_domain *fl_dom;
	struct m0_tl fl_runq;
	size_t fl_runq_nr;
	struct m0_tl fl_wail;
	size_t fl_wail_nr;
	unsigned fl_foms;
	struct m0_loc_thread *fl_handler;
	int fl_idx;
	pthread_mutex_t lock;
	pthread_cond_t some;
};
struct m0_fom_domain { struct m0_fom_locality **fd_localities; size_t fd_localities_nr; };
struct m0_loc_thread { int lt_state; pthread_t lt_thread; struct m0_fom_locality *lt_loc; };
struct m0_fom {
	struct m0_fom_locality *fo_loc;
	const struct m0_fom_type *fo_type;
	const struct m0_fom_ops *fo_ops;
	struct m0_fop *fo_fop;
	struct m0_reqh_service *fo_service;
	struct m0_tlink fo_linkage;
	unsigned fo_transitions;
	struct m0_sm fo_sm_phase, fo_sm_state;
	struct m0_loc_thread *fo_thread;
	bool again, spins;
};
struct m0_reqh_context { const char *rc_stpath; struct m0_reqh rc_reqh; struct m0_fid rc_fid; };
struct m0_motr { uint64_t cc_magic; struct m0_reqh_context cc_reqh_ctx; };

enum { LOCALITIES = 2, SERVICES = 4, LINE = 256, FSO_AGAIN = 0, FSO_WAIT = 1 };

static struct m0_sm_state_descr handler_states[] = { { .sd_name = "Init" }, { .sd_name = "Normal" }, { .sd_name = "Drain" }, { .sd_name = "SvcsStop" }, { .sd_name = "Stopped" } };
static struct m0_sm_state_descr service_states[] = { { .sd_name = "Initializing" }, { .sd_name = "Initialized" }, { .sd_name = "Starting" },
	{ .sd_name = "Started" }, { .sd_name = "Stopping" }, { .sd_name = "Stopped" }, { .sd_name = "Failed" } };
static struct m0_sm_state_descr phases[] = { { .sd_name = "init" }, { .sd_name = "finish" }, { .sd_name = "read-wait" }, { .sd_name = "tx-sync" } };
static struct m0_sm_state_descr fom_states[] = { { .sd_name = "Init" }, { .sd_name = "Ready" }, { .sd_name = "Running" }, { .sd_name = "Waiting" }, { .sd_name = "Finished" } };
static struct m0_sm_state_descr conn_states[] = { { .sd_name = "Initialised" }, { .sd_name = "Connecting" }, { .sd_name = "Active" }, { .sd_name = "Failed" } };
static struct m0_sm_state_descr session_states[] = { { .sd_name = "Initialised" }, { .sd_name = "Establishing" }, { .sd_name = "Idle" }, { .sd_name = "Busy" } };
#define CONF(name, states) { .scf_name = name, .scf_nr_states = sizeof states / sizeof states[0], .scf_state = states }
static const struct m0_sm_conf handler_conf = CONF("Request Handler States", handler_states), service_conf = CONF("Service States", service_states),
	conn_conf = CONF("Conn states", conn_states), session_conf = CONF("Session states", session_states);
static const struct m0_reqh_service_type service_types[SERVICES] = { { "M0_CST_IOS", 1 }, { "M0_CST_CAS", 2 }, { "rpcservice", 3 }, { "be-tx-service", 4 } };
static const struct m0_fom_type io_type = { 1, CONF("io-fom", phases), CONF("fom states", fom_states), &service_types[0] };
static const struct m0_fom_type tx_type = { 2, CONF("m0_be_tx_group_fom", phases), CONF("fom states", fom_states), &service_types[3] };
static const struct m0_fop_type write_type = { 1, "write" };
static struct m0_fop write_fop = { &write_type };
static struct m0_reqh_service services[SERVICES];
static struct m0_fom_locality localities[LOCALITIES];
static struct m0_fom_domain domain;
static atomic_ulong ticks;
static volatile bool stop_waking;

static void tl_init(struct m0_tl *list) { list->t_head.l_head = list->t_head.l_tail = (void *)list; }

static void tl_add(struct m0_tl *list, struct m0_tlink *link)
{
	struct m0_list_link *new = &link->t_link, *end = (void *)list, *last = list->t_head.l_tail;

	new->ll_next = end;
	new->ll_prev = last;
	last->ll_next = new;
	list->t_head.l_tail = new;
}

static void tl_del(struct m0_tlink *link)
{
	link->t_link.ll_prev->ll_next = link->t_link.ll_next;
	link->t_link.ll_next->ll_prev = link->t_link.ll_prev;
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_REALTIME, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void sm_init(struct m0_sm *machine, const struct m0_sm_conf *conf, uint32_t state)
{
	*machine = (struct m0_sm){ .sm_state = state, .sm_conf = conf, .sm_state_epoch = now() };
}

static void sm_set(struct m0_sm *machine, uint32_t state)
{
	machine->sm_state = state;
	machine->sm_state_epoch = now();
}

static int io_tick(struct m0_fom *fom)
{
	sm_set(&fom->fo_sm_phase, 2 + fom->fo_transitions % 2);
	do {
		for (int i = 0; i < 4000; i++)
			atomic_fetch_add_explicit(&ticks, 1, memory_order_relaxed);
	} while (fom->spins && !stop_waking);
	return fom->fo_transitions % 3 ? FSO_WAIT : FSO_AGAIN;
}

static const struct m0_fom_ops io_ops = { io_tick };

static struct m0_fom *fom_new(const struct m0_fom_type *type, struct m0_reqh_service *service, int place, bool again)
{
	struct m0_fom *fom = calloc(1, sizeof *fom);
	struct m0_fom_locality *loc = &localities[place];

	*fom = (struct m0_fom){ .fo_loc = loc, .fo_type = type, .fo_ops = &io_ops, .fo_fop = type == &io_type ? &write_fop : NULL, .fo_service = service, .again = again };
	sm_init(&fom->fo_sm_phase, &type->ft_conf, 2);
	sm_init(&fom->fo_sm_state, &type->ft_state_conf, M0_FOS_WAITING);
	pthread_mutex_lock(&loc->lock);
	tl_add(&loc->fl_wail, &fom->fo_linkage);
	loc->fl_wail_nr++;
	loc->fl_foms++;
	pthread_mutex_unlock(&loc->lock);
	return fom;
}

/* From waiting to the queue; the caller has the lock. */
static void fom_ready(struct m0_fom *fom)
{
	struct m0_fom_locality *loc = fom->fo_loc;

	tl_del(&fom->fo_linkage);
	loc->fl_wail_nr--;
	sm_set(&fom->fo_sm_state, M0_FOS_READY);
	tl_add(&loc->fl_runq, &fom->fo_linkage);
	loc->fl_runq_nr++;
	pthread_cond_signal(&loc->some);
}

static struct m0_fom *fom_dequeue(struct m0_fom_locality *loc)
{
	struct m0_list_link *first = loc->fl_runq.t_head.l_head;

	if (first == (void *)&loc->fl_runq)
		return NULL;
	struct m0_fom *fom = (void *)((char *)first - offsetof(struct m0_fom, fo_linkage));
	tl_del(&fom->fo_linkage);
	loc->fl_runq_nr--;
	return fom;
}

static void fom_exec(struct m0_fom *fom)
{
	struct m0_fom_locality *loc = fom->fo_loc;
	int rc;

	fom->fo_thread = loc->fl_handler;
	sm_set(&fom->fo_sm_state, M0_FOS_RUNNING);
	pthread_mutex_unlock(&loc->lock);
	do {
		rc = fom->fo_ops->fo_tick(fom);
		fom->fo_transitions++;
	} while (rc == FSO_AGAIN);
	pthread_mutex_lock(&loc->lock);
	fom->fo_thread = NULL;
	sm_set(&fom->fo_sm_state, M0_FOS_WAITING);
	tl_add(&loc->fl_wail, &fom->fo_linkage);
	loc->fl_wail_nr++;
}

static void loc_handler_thread(struct m0_loc_thread *th)
{
	struct m0_fom_locality *loc = th->lt_loc;

	pthread_mutex_lock(&loc->lock);
	while (1) {
		loc->fl_handler = th;
		th->lt_state = 1;
		struct m0_fom *fom = fom_dequeue(loc);
		if (fom != NULL)
			fom_exec(fom);
		else
			pthread_cond_wait(&loc->some, &loc->lock);
	}
}

static void *handler_main(void *thread)
{
	loc_handler_thread(thread);
	return NULL;
}

/* Foms that are worked on all the time become ready again. */
static void *waker(void *unused)
{
	(void)unused;
	while (1) {
		for (int i = 0; i < LOCALITIES; i++) {
			struct m0_fom_locality *loc = &localities[i];

			pthread_mutex_lock(&loc->lock);
			for (struct m0_list_link *link = loc->fl_wail.t_head.l_head, *next; !stop_waking && link != (void *)&loc->fl_wail; link = next) {
				struct m0_fom *fom = (void *)((char *)link - offsetof(struct m0_fom, fo_linkage));

				next = link->ll_next;
				if (fom->again)
					fom_ready(fom);
			}
			pthread_mutex_unlock(&loc->lock);
		}
		usleep(2000);
	}
	return NULL;
}

static sigjmp_buf back;
static volatile uintptr_t nowhere = 8;

static void touched(int number)
{
	(void)number;
	siglongjmp(back, 1);
}

/* As m0_cookie does: an address is tried, and the signal says that it is none. */
static void *cookie(void *unused)
{
	(void)unused;
	signal(SIGSEGV, touched);
	while (1) {
		if (sigsetjmp(back, 1) == 0)
			(void)*(volatile char *)nowhere;
		usleep(1000);
	}
	return NULL;
}

struct listener { int socket; struct m0_reqh *reqh; };

static void *listener(void *given)
{
	struct listener *self = given;

	while (1) {
		int client = accept(self->socket, NULL, NULL);
		char line[LINE];

		while (client >= 0 && read(client, line, sizeof line) > 0) {
			const char *answer = *(volatile uint32_t *)&self->reqh->rh_sm.sm_state == M0_REQH_ST_NORMAL ? "0\n" : "-108\n";

			if (write(client, answer, strlen(answer)) < 0)
				break;
		}
		close(client);
	}
	return NULL;
}

static int listen_on_loopback(int *port)
{
	struct sockaddr_in place = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof place;
	int made = socket(AF_INET, SOCK_STREAM, 0);

	if (made < 0 || bind(made, (void *)&place, size) < 0 || listen(made, 16) < 0 || getsockname(made, (void *)&place, &size) < 0)
		exit(1);
	*port = ntohs(place.sin_port);
	return made;
}

static void start(void *(*what)(void *), void *given)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, what, given) != 0)
		exit(1);
}

static struct m0_rpc_conn *conn_new(struct m0_tl *list, const char *peer, uint64_t flags, uint64_t key, uint64_t session)
{
	struct m0_rpc_conn *conn = calloc(1, sizeof *conn);
	struct m0_net_end_point *end = calloc(1, sizeof *end);
	struct m0_rpc_session *made = calloc(1, sizeof *made);

	end->nep_addr = peer;
	conn->c_rpcchan = calloc(1, sizeof *conn->c_rpcchan);
	conn->c_rpcchan->rc_destep = end;
	conn->c_flags = flags;
	if (flags == 1)
		conn->c_svc_fid = (struct m0_fid){ 0x7300000000000001, key };
	sm_init(&conn->c_sm, &conn_conf, 2);
	tl_init(&conn->c_sessions);
	made->s_session_id = session;
	sm_init(&made->s_sm, &session_conf, 2);
	tl_add(&conn->c_sessions, &made->s_link);
	tl_add(list, &conn->c_link);
	return conn;
}

static void reqh_init(struct m0_reqh *reqh, struct m0_fid fid, const char *endpoint)
{
	struct m0_rpc_machine *rpc = calloc(1, sizeof *rpc);
	struct m0_net_end_point *end = calloc(1, sizeof *end);

	reqh->rh_fid = fid;
	sm_init(&reqh->rh_sm, &handler_conf, M0_REQH_ST_NORMAL);
	tl_init(&reqh->rh_services);
	tl_init(&reqh->rh_rpc_machines);
	for (int i = 0; i < SERVICES; i++) {
		services[i] = (struct m0_reqh_service){ .rs_type = &service_types[i], .rs_reqh = reqh };
		if (i < 2)
			services[i].rs_service_fid = (struct m0_fid){ 0x7300000000000001, (uint64_t)i };
		sm_init(&services[i].rs_sm, &service_conf, 3);
		tl_add(&reqh->rh_services, &services[i].rs_linkage);
	}
	end->nep_addr = endpoint;
	rpc->rm_tm.ntm_ep = end;
	rpc->rm_reqh = reqh;
	tl_init(&rpc->rm_incoming_conns);
	tl_init(&rpc->rm_outgoing_conns);
	conn_new(&rpc->rm_incoming_conns, "0@lo:12345:33:800", 2, 0, 18122724565540012071u);
	conn_new(&rpc->rm_incoming_conns, "0@lo:12345:34:1", 2, 0, 16359304575928369168u);
	conn_new(&rpc->rm_outgoing_conns, "0@lo:12345:33:900", 1, 7, 36455133118070829u);
	tl_add(&reqh->rh_rpc_machines, &rpc->rm_rh_linkage);
}

static void localities_init(void)
{
	domain.fd_localities = calloc(LOCALITIES, sizeof *domain.fd_localities);
	domain.fd_localities_nr = LOCALITIES;
	for (int i = 0; i < LOCALITIES; i++) {
		struct m0_loc_thread *thread = calloc(1, sizeof *thread);

		localities[i] = (struct m0_fom_locality){ .fl_dom = &domain, .fl_idx = i, .lock = PTHREAD_MUTEX_INITIALIZER, .some = PTHREAD_COND_INITIALIZER };
		tl_init(&localities[i].fl_runq);
		tl_init(&localities[i].fl_wail);
		domain.fd_localities[i] = &localities[i];
		fom_new(&tx_type, &services[3], i, false);
		for (int j = 0; j < 8; j++)
			fom_new(&io_type, &services[0], i, true);
		thread->lt_loc = &localities[i];
		start(handler_main, thread);
	}
}

static void change_foms(const char *word, unsigned number)
{
	for (unsigned i = 0; i < number && strcmp(word, "age") != 0; i++) {
		struct m0_fom *fom = fom_new(&io_type, &services[0], (int)i % LOCALITIES, false);

		if (strcmp(word, "spin") == 0) {
			pthread_mutex_lock(&fom->fo_loc->lock);
			fom->spins = true;
			fom_ready(fom);
			pthread_mutex_unlock(&fom->fo_loc->lock);
		}
	}
	for (int i = 0; i < LOCALITIES && strcmp(word, "age") == 0; i++) {
		struct m0_fom_locality *loc = &localities[i];

		pthread_mutex_lock(&loc->lock);
		for (struct m0_list_link *link = loc->fl_wail.t_head.l_head; link != (void *)&loc->fl_wail; link = link->ll_next) {
			struct m0_fom *fom = (void *)((char *)link - offsetof(struct m0_fom, fo_linkage));

			fom->fo_sm_phase.sm_state_epoch = fom->fo_sm_state.sm_state_epoch = now() - number * 1000000000ull;
		}
		pthread_mutex_unlock(&loc->lock);
	}
}

static __attribute__((noinline)) void m0_cs_fini(struct m0_motr *context)
{
	sm_set(&context->cc_reqh_ctx.rc_reqh.rh_sm, M0_REQH_ST_DRAIN);
	puts("done");
	fflush(stdout);
	pause();
	atomic_fetch_add(&ticks, 1);
}

static __attribute__((noinline)) int cs_wait_signal(struct m0_motr *context)
{
	struct m0_reqh *reqh = &context->cc_reqh_ctx.rc_reqh;
	char line[LINE], word[LINE];
	unsigned first, second;

	while (fgets(line, sizeof line, stdin) != NULL) {
		first = second = 0;
		if (sscanf(line, "%255s %u %u", word, &first, &second) < 1)
			continue;
		if (strcmp(word, "fini") == 0)
			return 1;
		if (strcmp(word, "normal") == 0) {
			printf("%u\n", reqh->rh_sm.sm_state);
		} else if (strcmp(word, "state") == 0) {
			sm_set(&reqh->rh_sm, first);
		} else if (strcmp(word, "service") == 0) {
			sm_set(&services[first % SERVICES].rs_sm, second);
		} else if (strcmp(word, "torn") == 0) {
			reqh->rh_services.t_head.l_tail->ll_next = reqh->rh_services.t_head.l_head;
		} else {
			change_foms(word, first);
		}
		puts("done");
		fflush(stdout);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct m0_motr motr_ctx;
	struct m0_fid fid = { 0, 1 };
	const char *endpoint = "";

	prctl(PR_SET_NAME, "m0d");
	for (int option; (option = getopt(argc, argv, "f:e:")) != -1;) {
		if (option == 'e')
			endpoint = optarg;
		else if (option != 'f' || sscanf(optarg, "<%lx:%lx>", &fid.f_container, &fid.f_key) != 2)
			return 2;
	}
	memset(&motr_ctx, 0, sizeof motr_ctx);
	reqh_init(&motr_ctx.cc_reqh_ctx.rc_reqh, fid, endpoint);
	int port;
	struct listener self = { listen_on_loopback(&port), &motr_ctx.cc_reqh_ctx.rc_reqh };
	localities_init();
	start(waker, NULL);
	start(cookie, NULL);
	start(listener, &self);
	printf("%d\n", port);
	fflush(stdout);
	if (cs_wait_signal(&motr_ctx) != 0)
		m0_cs_fini(&motr_ctx);
	return 0;
}
