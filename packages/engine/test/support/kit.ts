/** What the engine's tests share: one cached template, instances in temporary folders, a tiny reader of PostgreSQL's answers. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { walFileName as segmentName } from '@mirabelle/wal'
import {
  cloneTemplate,
  createEngine,
  createTemplate,
  instancePaths,
  WAL_SEGMENT_BYTES,
  type EngineLogger,
  type EnginePort,
  type EngineRequest,
  type EngineResult,
  type WalChunk,
} from '@mirabelle/engine'

const quiet: EngineLogger = { debug() {}, info() {}, warn() {}, error() {} }

/** The parts of a tap test that the kit uses. */
interface Owner {
  teardown(fn: () => unknown): void
}

export const BOOTSTRAP_SQL =
  "CREATE TABLE pg_catalog.engine_test_catalog(id int PRIMARY KEY, note text); INSERT INTO pg_catalog.engine_test_catalog VALUES (1, 'boot');"

/** The template of all engine tests, made once per machine and version. */
export function testTemplate(): Promise<string> {
  return createTemplate({
    cacheDir: join(tmpdir(), `mirabelle-engine-test-${process.getuid?.() ?? 0}`),
    bootstrapSql: BOOTSTRAP_SQL,
  })
}

/** A temporary folder that goes away with the test. */
export async function temporaryFolder(t: Owner): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mirabelle-engine-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** A new instance folder with a clone of the template. */
export async function newInstance(t: Owner): Promise<string> {
  const folder = join(await temporaryFolder(t), 'instance')
  await mkdir(folder)
  await cloneTemplate(await testTemplate(), folder)
  return folder
}

/** An engine on a folder, stopped when the test ends. */
export function engineOn(t: Owner, folder: string, settings: Record<string, string> = {}): EnginePort {
  const engine = createEngine({
    dataDir: folder,
    settings,
    logger: quiet,
    setTimer: (ms, fn) => {
      const timer = setTimeout(fn, ms)
      return { clear: () => clearTimeout(timer) }
    },
  })
  t.teardown(() => engine.stop('immediate'))
  return engine
}

/** A started primary on a new clone. */
export async function newPrimary(t: Owner): Promise<{ engine: EnginePort; folder: string }> {
  const folder = await newInstance(t)
  const engine = engineOn(t, folder)
  await engine.startPrimary()
  return { engine, folder }
}

let lastTag = 0

/** A Query message as a request. */
export function query(sql: string, more: Partial<EngineRequest> = {}): EngineRequest {
  return { bytes: message('Q', Buffer.from(`${sql}\0`)), syncs: 1, tag: ++lastTag, ...more }
}

/** One frontend message. */
export function message(type: string, body: Uint8Array = new Uint8Array(0)): Buffer {
  const bytes = Buffer.alloc(5 + body.length)
  bytes.write(type, 'latin1')
  bytes.writeInt32BE(4 + body.length, 1)
  bytes.set(body, 5)
  return bytes
}

export interface Answer {
  readonly rows: readonly (readonly (string | null)[])[]
  /** SQLSTATE of each error. */
  readonly errors: readonly string[]
  /** Types of all messages, in order. */
  readonly types: string
}

/** Reads backend messages. */
export function parse(output: Uint8Array): Answer {
  const bytes = Buffer.from(output)
  const rows: (string | null)[][] = []
  const errors: string[] = []
  let types = ''
  for (let at = 0; at < bytes.length;) {
    const type = String.fromCharCode(bytes[at] as number)
    const end = at + 1 + bytes.readInt32BE(at + 1)
    const body = bytes.subarray(at + 5, end)
    types += type
    if (type === 'D') rows.push(dataRow(body))
    if (type === 'E') errors.push(/\0C([0-9A-Z]{5})\0/.exec(`\0${body.toString('latin1')}`)?.[1] ?? '?')
    at = end
  }
  return { rows, errors, types }
}

function dataRow(body: Buffer): (string | null)[] {
  const values: (string | null)[] = []
  let at = 2
  for (let left = body.readInt16BE(0); left > 0; left--) {
    const length = body.readInt32BE(at)
    at += 4
    values.push(length === -1 ? null : body.toString('utf8', at, at + length))
    if (length > 0) at += length
  }
  return values
}

/** Runs one statement; throws when it fails. */
export async function run(engine: EnginePort, sql: string): Promise<Answer & { result: EngineResult }> {
  const result = await engine.submit(query(sql))
  const answer = parse(result.output)
  if (answer.errors.length > 0)
    throw new Error(`${sql}: ${answer.errors.join()} ${Buffer.from(result.output).toString('latin1')}`)
  return { ...answer, result }
}

/** The one value that a statement gives. */
export async function value(engine: EnginePort, sql: string): Promise<string | null | undefined> {
  return (await run(engine, sql)).rows[0]?.[0]
}

/** Writes a chunk of WAL into an instance's received-WAL folder, as a walreceiver does. */
export function storeWal(folder: string, chunk: WalChunk): void {
  if (chunk.bytes === undefined) throw new Error('the chunk carries no bytes')
  const { receivedWal } = instancePaths(folder)
  mkdirSync(receivedWal, { recursive: true })
  for (let at = chunk.start; at < chunk.end;) {
    const segmentStart = at - (at % WAL_SEGMENT_BYTES)
    const end = Math.min(chunk.end, segmentStart + WAL_SEGMENT_BYTES)
    const path = join(receivedWal, segmentName(chunk.timeline, at, WAL_SEGMENT_BYTES))
    closeSync(openSync(path, 'a'))
    const fd = openSync(path, 'r+')
    writeSync(fd, chunk.bytes, at - chunk.start, end - at, at - segmentStart)
    closeSync(fd)
    at = end
  }
}

/** Resolves when `condition` holds; it is looked at every few ms, for at most `limitMs`. */
export async function until(condition: () => boolean, limitMs = 20_000): Promise<void> {
  const deadline = Date.now() + limitMs
  while (!condition()) {
    if (Date.now() > deadline) throw new Error('the condition did not come true in time')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** Never ends and never calls out once it has begun, whenever a cancel comes: a notice too big for buffers says that it has begun. */
export const ENDLESS =
  "DO $$ BEGIN LOOP BEGIN RAISE NOTICE '%', repeat('x', 200000); LOOP END LOOP; EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$"
