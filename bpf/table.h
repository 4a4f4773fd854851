/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The table of records (struct ct_bucket). CT_BUCKETS is how many buckets there are. tracer/flight/records.py does the
 * same look-up in user space.
 */

/* Multiplicative hashing (Knuth, volume 3, 6.4): the high half of the product says where, the low half how far the next
 * bucket is. */
#define CT_SPREAD 0x9e3779b97f4a7c15ULL

/* What a record begins with. */
struct ct_birth {
	u64 key;
	u64 ns;
	u32 flags;
	u32 state;
};

static __always_inline struct ct_bucket *ct_bucket_at(u64 at, u64 *bucket)
{
	*bucket = (at >> 32) * CT_BUCKETS >> 32; /* see ct_count */
	return buckets.lookup(bucket);
}

/* The high half, which says where, of the next bucket. */
#define CT_NEXT_BUCKET(at, hash) ((at) + ((hash) << 32))

/* Whether value is 0 (then 0) or not (then 1), as a number of which the compiler does not know that it is no more: it
 * would make a branch of what depends on it. An AND would do the same: newer verifiers follow both ways. */
#define CT_DIFFERS(value)                                                                                              \
	({                                                                                                             \
		u64 __set = CT_IS_SET(value);                                                                          \
		asm("" : "+r"(__set));                                                                                 \
		__set;                                                                                                 \
	})

/* Which way of the bucket has this halved address, counted from 1; 0 if none has. */
static __always_inline u64 ct_way_of(struct ct_bucket *bucket, u64 half)
{
	u64 found = CT_WAYS * (CT_WAYS + 1) / 2;

#pragma unroll
	for (u64 i = 0; i < CT_WAYS; i++)
		found -= CT_DIFFERS(bucket->keys[i] ^ half) * (i + 1);
	return found;
}

/* How many ways are taken before the first one that is free. */
static __always_inline u64 ct_taken_ways_of(struct ct_bucket *bucket)
{
	u64 all = 1, found = 0;

#pragma unroll
	for (u64 i = 0; i < CT_WAYS; i++) {
		all *= CT_DIFFERS(bucket->keys[i]);
		found += all;
	}
	return found;
}

static __always_inline struct ct_record *ct_find(u64 key)
{
	u64 hash = key * CT_SPREAD, at = hash, index, way = 0, passed = 0;
	struct ct_bucket *bucket;
	struct ct_record *record;
	u32 *place;

#pragma clang loop unroll(disable)
	for (u64 i = 0; i < CT_PROBES; i++) {
		bucket = ct_bucket_at(at, &index);
		if (!bucket)
			return 0;
		way = ct_way_of(bucket, key >> 1);
		passed = bucket->passed;
		if (way || !passed)
			break;
		at = CT_NEXT_BUCKET(at, hash);
	}
	if (way) {
		index = index * CT_WAYS + way - 1;
	} else {
		place = passed ? crowded.lookup(&key) : 0;
		if (!place)
			return 0;
		index = *place;
	}
	record = sockets.lookup(&index);
	/* A way that is free looks like one of key 0. */
	return record && record->sk == key ? record : 0;
}

/* Counts a record as passed by in the first so many buckets of its key, or no more (more is -1). */
static __always_inline void ct_pass_by(u64 key, u64 passed, u32 more)
{
	u64 hash = key * CT_SPREAD, at = hash, index;
	struct ct_bucket *bucket;

#pragma clang loop unroll(disable)
	for (u64 i = 0; i < CT_PROBES; i++) {
		asm volatile("" : "+r"(passed)); /* else it counts down from there, of which 5.10 sees no end */
		if (i >= passed)
			break;
		bucket = ct_bucket_at(at, &index);
		if (bucket)
			__sync_fetch_and_add(&bucket->passed, more);
		at = CT_NEXT_BUCKET(at, hash);
	}
}

/* What another thread must not find unset, once the key is there. */
static __always_inline void ct_begin(struct ct_record *record, struct ct_birth *birth, u64 index, u64 way, u64 passed)
{
	__builtin_memset(record, 0, sizeof(*record));
	record->sk = birth->key;
	record->birth_ns = birth->ns;
	record->state = birth->state;
	record->state_ns = birth->flags & CT_R_ADOPTED ? 0 : birth->ns;
	record->flags = birth->flags;
	record->bucket = index;
	record->way = way;
	record->passed = passed;
}

/* Where all buckets of the key are full. */
static __always_inline struct ct_record *ct_insert_crowded(struct ct_birth *birth)
{
	u64 key = birth->key, place = 0, index, way;
	struct ct_bucket *bucket;
	struct ct_record *record;

	if (spare_places.pop(&place))
		return 0;
	index = place / CT_WAYS;
	way = place - index * CT_WAYS;
	record = sockets.lookup(&place);
	bucket = buckets.lookup(&index);
	if (!record || !bucket)
		return 0;
	ct_begin(record, birth, index, way, CT_PROBES);
	if (crowded.insert(&key, (u32 *)&place)) {
		spare_places.push(&place, 0);
		return 0;
	}
	CT_STORES_IN_ORDER();
	*(volatile u64 *)&bucket->keys[way & 7] = key >> 1; /* for user space */
	ct_pass_by(key, CT_PROBES, 1);
	return record;
}

/* Into the first of the key's buckets that has room. The caller holds the lock of home, which is the first of them. */
static __always_inline struct ct_record *ct_insert_locked(struct ct_bucket *home, struct ct_birth *birth)
{
	u64 key = birth->key, hash = key * CT_SPREAD, at = hash, index = 0, way = CT_WAYS, passed = 0, place;
	struct ct_bucket *bucket = 0;
	struct ct_record *record;

#pragma clang loop unroll(disable)
	for (u64 i = 0; i < CT_PROBES; i++) {
		bucket = ct_bucket_at(at, &index);
		if (!bucket)
			return 0;
		if (bucket == home || ct_try(&bucket->busy)) {
			way = ct_taken_ways_of(bucket);
			if (way < CT_WAYS)
				break;
			if (bucket != home)
				ct_let_go(&bucket->busy);
		}
		at = CT_NEXT_BUCKET(at, hash);
		passed = CT_FORGET(passed + 1, key);
	}
	if (way >= CT_WAYS) {
		record = ct_insert_crowded(birth);
		if (!record)
			ct_count(CT_LOST_RECORDS);
		return record;
	}
	place = index * CT_WAYS + way;
	record = sockets.lookup(&place);
	if (record) {
		ct_begin(record, birth, index, way, passed);
		if (passed)
			ct_pass_by(key, passed, 1); /* before it can be found */
		CT_STORES_IN_ORDER();
		*(volatile u64 *)&bucket->keys[way & 7] = key >> 1;
	}
	if (bucket != home)
		ct_let_go(&bucket->busy);
	return record;
}

/*
 * A new record (then *made is 1), or the one that another thread has made in this instant; 0 if none is free. Whoever
 * inserts this key needs the lock of its first bucket, so it is never there twice.
 */
static __always_inline struct ct_record *ct_insert(struct ct_birth *birth, u64 *made)
{
	u64 index, locked;
	struct ct_bucket *home = ct_bucket_at(birth->key * CT_SPREAD, &index);
	struct ct_record *record;

	*made = 0;
	if (!home)
		return 0;
	locked = ct_try_some(&home->busy);
	record = ct_find(birth->key);
	if (!locked) {
		if (!record)
			ct_count(CT_LOST_CONTENDED);
		return record;
	}
	if (!record) {
		record = ct_insert_locked(home, birth);
		*made = 1;
	}
	ct_let_go(&home->busy);
	return record;
}

/* 0 if the table did not have it any more. */
static __always_inline int ct_delete(struct ct_record *record, u64 key)
{
	u64 index = record->bucket, way = record->way, passed = record->passed, place = index * CT_WAYS + way;
	struct ct_bucket *bucket = buckets.lookup(&index);

	if (!bucket || bucket->keys[way & 7] != key >> 1)
		return 0;
	*(volatile u64 *)&bucket->keys[way & 7] = 0;
	if (!passed)
		return 1;
	ct_pass_by(key, passed, -1);
	if (passed == CT_PROBES) {
		/* Where the kernel refuses to delete (5.11 to 6.6, in an interrupt), the place must not get another
		 * owner. */
		if (!crowded.delete(&key))
			spare_places.push(&place, 0);
	}
	return 1;
}
