/** Facts about PGlite's WAL that the commit gate and replication rest on. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { walFileName as segmentName, WalValidator } from '@mirabelle/wal'
import {
  instancePaths,
  WAL_PAGE_BYTES,
  WAL_SEGMENT_BYTES,
  type EngineResult,
  type WalChunk,
} from '@mirabelle/engine'
import { newPrimary, parse, query, run, value } from '../support/kit.ts'

t.test('a commit moves the flush LSN; a read does not', async (t) => {
  const { engine } = await newPrimary(t)
  const { result: created } = await run(engine, 'CREATE TABLE a(i int)')
  const { result: inserted } = await run(engine, 'INSERT INTO a VALUES (1)')
  t.ok(inserted.lsn > created.lsn)
  const { result: read } = await run(engine, 'SELECT 1')
  t.equal(read.lsn, inserted.lsn)
  t.equal(engine.flushLsn(), inserted.lsn)
})

t.test(
  'onWal gives every byte of WAL in order, equal to the files, before the request resolves',
  async (t) => {
    const { engine, folder } = await newPrimary(t)
    const chunks: WalChunk[] = []
    let told = 0
    engine.onWal = (chunk) => {
      chunks.push(chunk)
      told = chunk.end
    }
    await run(engine, 'CREATE TABLE a(i int, b text)')
    await Promise.all(
      Array.from({ length: 500 }, async (_, i) => {
        const { result } = await run(engine, `INSERT INTO a VALUES (${i}, repeat('x', ${(i * 37) % 5000}))`)
        t.ok(told >= result.lsn)
      }),
    )
    await run(engine, "INSERT INTO a SELECT g, repeat('y', 200) FROM generate_series(1, 30000) g")
    t.equal(chunks.at(-1)?.end, engine.flushLsn())
    for (const [index, chunk] of chunks.entries()) {
      if (index > 0 && chunk.start !== chunks[index - 1]?.end) t.fail(`gap before ${chunk.start}`)
      if (chunk.bytes === undefined) continue
      const file = walFromFiles(folder, chunk.timeline, chunk.start, chunk.end)
      if (Buffer.compare(file, chunk.bytes) !== 0)
        t.fail(`bytes of [${chunk.start}, ${chunk.end}) differ from the files`)
    }
    const shipped = chunks.reduce((sum, chunk) => sum + (chunk.bytes?.length ?? 0), 0)
    t.ok(shipped > 7_000_000, `${shipped} bytes came without reading files`)
  },
)

t.test('a long statement ships its WAL while it runs, its completion with the commit record', async (t) => {
  const { engine } = await newPrimary(t)
  await run(engine, 'CREATE TABLE a(i int, b text)')
  const chunks: WalChunk[] = []
  engine.onWal = (chunk) => chunks.push(chunk)
  const long = query("INSERT INTO a SELECT g, repeat('y', 200) FROM generate_series(1, 30000) g")
  const { lsn } = await engine.submit(long)
  t.ok(chunks.length > 5)
  const carriers = chunks.filter((chunk) => chunk.completed.some((one) => one.tag === long.tag))
  t.equal(carriers.length, 1)
  t.ok((carriers[0] as WalChunk).start < lsn && lsn <= (carriers[0] as WalChunk).end)
})

const LONG_HEADER_BYTES = 40
const SHORT_HEADER_BYTES = 24

/** Bytes of records before a position: WAL without the headers of its pages. */
function recordBytes(lsn: number): number {
  const inPage = Math.max(0, (lsn % WAL_PAGE_BYTES) - SHORT_HEADER_BYTES)
  const pages = Math.floor(lsn / WAL_PAGE_BYTES)
  const longer = Math.ceil(lsn / WAL_SEGMENT_BYTES) * (LONG_HEADER_BYTES - SHORT_HEADER_BYTES)
  return pages * (WAL_PAGE_BYTES - SHORT_HEADER_BYTES) + inPage - longer
}

t.test('a commit record that ends with a page does not travel before its completion', async (t) => {
  const { engine } = await newPrimary(t)
  const emit = (bytes: number) => query(`SELECT pg_logical_emit_message(true, '', repeat('y', ${bytes}))`)
  const { result } = await run(engine, 'CREATE TABLE a(i int)')
  const { lsn: start } = await engine.submit(emit(400_000))
  const overhead = recordBytes(start) - recordBytes(result.lsn) - 400_000
  // So much that it is shipped before the end of the request, in which the page behind it is written, or not at all.
  const end = Math.ceil((start + 256 * 1024) / WAL_PAGE_BYTES) * WAL_PAGE_BYTES
  const chunks: WalChunk[] = []
  engine.onWal = (chunk) => chunks.push(chunk)
  const request = emit(recordBytes(end) - recordBytes(start) - overhead)
  const { lsn } = await engine.submit(request)
  t.ok(lsn > end && lsn < end + 100, 'a record behind it makes its end certain')
  const carrier = chunks.find((chunk) => chunk.end >= end)
  t.same(
    carrier?.completed.map(({ tag }) => tag),
    [request.tag],
  )
})

t.test('the LSN of an answer is the end of a record, also when nothing was committed', async (t) => {
  const { engine } = await newPrimary(t)
  const { result } = await run(engine, 'CREATE TABLE a(i int, b text)')
  const validator = new WalValidator({ start: result.lsn, atRecord: true })
  engine.onWal = (chunk) => {
    if (chunk.end > result.lsn) validator.push(chunk.bytes as Uint8Array)
  }
  const insert = "INSERT INTO a SELECT g, repeat('y', 200) FROM generate_series(1, 5000) g"
  const errors = [insert, 'SELECT 1/0', 'ROLLBACK']
  for (const sql of [
    'BEGIN',
    insert,
    'SAVEPOINT s',
    insert,
    'ROLLBACK TO s',
    'UPDATE a SET i = i + 1',
    ...errors,
  ]) {
    const { lsn } = await engine.submit(query(sql))
    t.equal(validator.validEnd, lsn, sql)
  }
  t.equal(validator.problem, undefined)
})

t.test('what a function does to synchronous_commit leaves no commit in memory', async (t) => {
  const { engine } = await newPrimary(t)
  await run(engine, 'CREATE TABLE a(i int)')
  const { result: before } = await run(
    engine,
    "CREATE FUNCTION later() RETURNS int LANGUAGE sql AS 'SELECT set_config(''synchronous_commit'', ''off'', true); SELECT 1'",
  )
  const { result: inserted } = await run(engine, 'INSERT INTO a SELECT later()')
  t.ok(inserted.lsn > before.lsn)
  const { result: read } = await run(engine, 'SELECT later()')
  t.equal(read.lsn, inserted.lsn)
  await run(engine, 'BEGIN')
  const { result: open } = await run(engine, 'INSERT INTO a SELECT later()')
  t.equal(open.lsn, inserted.lsn, 'nothing is committed yet')
  const { result: committed } = await run(engine, 'COMMIT')
  t.ok(committed.lsn > open.lsn)
})

t.test('nobody waits for the WAL of what was undone; a commit after it covers that', async (t) => {
  const { engine } = await newPrimary(t)
  const { result: created } = await run(engine, 'CREATE TABLE a(i int UNIQUE)')
  const ended = async (...sqls: readonly string[]) => {
    let lsn = 0
    for (const sql of sqls) ({ lsn } = await engine.submit(query(sql)))
    return lsn
  }
  t.equal(await ended('BEGIN', 'INSERT INTO a VALUES (1)', 'ROLLBACK'), created.lsn)
  t.equal(await ended('BEGIN', 'CREATE TEMP TABLE b AS SELECT 1', 'SELECT * FROM b', 'ROLLBACK'), created.lsn)
  t.equal(await ended('BEGIN', 'INSERT INTO a VALUES (1)', 'SELECT 1/0', 'COMMIT'), created.lsn)
  t.equal(await ended('SELECT 1'), created.lsn, 'what it left is not a later read that has to wait')
  const both = await ended('BEGIN', 'INSERT INTO a VALUES (2)', 'COMMIT; BEGIN; ROLLBACK')
  t.ok(both > created.lsn, 'something of the same message was committed')
  const prepared = await ended('BEGIN', 'INSERT INTO a VALUES (3)', "PREPARE TRANSACTION 'p'")
  t.ok(prepared > both)
  t.ok((await ended("ROLLBACK PREPARED 'p'")) > prepared)
  t.equal(await value(engine, 'SELECT string_agg(i::text, $$,$$) FROM a'), '2')
})

t.test('a small answer travels with its WAL, that of a read does not', async (t) => {
  const { engine } = await newPrimary(t)
  await run(engine, 'CREATE TABLE a(i int)')
  const completed = new Map<number, Uint8Array | undefined>()
  engine.onWal = (chunk) => {
    for (const one of chunk.completed) completed.set(one.tag, one.output)
  }
  const write = query('INSERT INTO a VALUES (1)')
  const read = query('SELECT 1')
  await Promise.all([engine.submit(write), engine.submit(read)])
  t.equal(parse(completed.get(write.tag) as Uint8Array).types, 'CZ')
  t.notOk(completed.has(read.tag))
})

t.test('what had no effect, or failed, is not told to have taken effect', async (t) => {
  const { engine } = await newPrimary(t)
  await run(engine, 'CREATE TABLE a(i int, v text UNIQUE DEFERRABLE INITIALLY DEFERRED)')
  const completed = new Map<number, Uint8Array | undefined>()
  engine.onWal = (chunk) => {
    for (const one of chunk.completed) completed.set(one.tag, one.output)
  }
  const texts = [
    'BEGIN',
    "INSERT INTO a VALUES (1, 'x')",
    'SELECT 1/0',
    'COMMIT',
    'DELETE FROM a WHERE i = 5',
  ]
  const undone = texts.map((sql) => query(sql))
  // In one batch: all of them are reported together with the WAL of the last one.
  await Promise.all([...undone, query("INSERT INTO a VALUES (2, 'y')")].map((one) => engine.submit(one)))
  t.same(
    undone.filter(({ tag }) => completed.has(tag)),
    [],
    'nothing of a transaction that was rolled back, and nothing that changed nothing',
  )
  const long = "repeat('x', 2500)"
  const commit = query('COMMIT')
  const failing = ['BEGIN', `INSERT INTO a VALUES (3, ${long}), (4, ${long})`].map((sql) => query(sql))
  const answers = await Promise.all([...failing, commit].map((one) => engine.submit(one)))
  const { output } = answers[2] as EngineResult
  t.ok(output.length > 2048 && parse(output).errors[0] === '23505', 'a long error')
  t.same(parse(completed.get(commit.tag) ?? output.subarray(0, 0)).errors, ['23505'], 'is told in short')
  t.equal(parse(completed.get(commit.tag) as Uint8Array).types, 'EZ')
  t.ok((completed.get(commit.tag) as Uint8Array).length < 2048)
})

t.test('syncWal covers what was written before it, and calls share one fdatasync', async (t) => {
  const { engine } = await newPrimary(t)
  await run(engine, 'CREATE TABLE a(i int)')
  const { result } = await run(engine, 'INSERT INTO a VALUES (1)')
  const [first, second, third] = await Promise.all([engine.syncWal(), engine.syncWal(), engine.syncWal()])
  t.ok((first as number) >= result.lsn)
  t.ok((second as number) >= (first as number))
  t.equal(second, third)
})

t.test('WAL segments are 1 MB and the settings that durability needs are on', async (t) => {
  const { engine } = await newPrimary(t)
  t.equal(await value(engine, 'SHOW wal_segment_size'), '1MB')
  for (const name of ['fsync', 'full_page_writes', 'data_checksums', 'synchronous_commit'])
    t.equal(await value(engine, `SHOW ${name}`), 'on', name)
  t.equal(await value(engine, 'SHOW server_encoding'), 'UTF8')
  t.equal(await value(engine, "SELECT datcollate FROM pg_database WHERE datname = 'postgres'"), 'C')
  t.equal(await value(engine, 'SHOW max_prepared_transactions'), '64')
})

t.test('an orderly stop reports the WAL of its shutdown checkpoint', async (t) => {
  const { engine } = await newPrimary(t)
  const { result } = await run(engine, 'CREATE TABLE a(i int)')
  let end = 0
  engine.onWal = (chunk) => {
    end = chunk.end
  }
  await engine.stop('fast')
  t.ok(end > result.lsn)
})

function walFromFiles(folder: string, timeline: number, start: number, end: number): Buffer {
  const parts: Buffer[] = []
  for (let at = start; at < end;) {
    const segmentStart = at - (at % WAL_SEGMENT_BYTES)
    const until = Math.min(end, segmentStart + WAL_SEGMENT_BYTES)
    const file = readFileSync(join(instancePaths(folder).pgWal, segmentName(timeline, at, WAL_SEGMENT_BYTES)))
    parts.push(file.subarray(at - segmentStart, until - segmentStart))
    at = until
  }
  return Buffer.concat(parts)
}
