/** A primary without an engine, a mirror's walreceiver, and ports for both: what the streaming tests are made of. */
import {
  mkdtempSync,
  mkdirSync,
  openSync,
  closeSync,
  readFileSync,
  writeFileSync,
  writeSync,
  ftruncateSync,
  fstatSync,
  existsSync,
  rmSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defaultSettings } from '@mirabelle/messages'
import type { HistoryEntry, Lsn, MirabelleError, SettledEntry, Settings, Timeline } from '@mirabelle/messages'
import { realClock, realDisk } from '@mirabelle/runtime'
import type { Listener, Logger, Network, Ports } from '@mirabelle/runtime'
import { createWalFiles } from '../../src/files/wal-files.ts'
import { encodeWalRecords } from '../../src/format/wal-encoder.ts'
import type { WalPosition } from '../../src/format/wal-encoder.ts'
import { formatHistory } from '../../src/format/history.ts'
import { historyFileName, walFileName } from '../../src/format/file-names.ts'
import { createWalReceiver } from '../../src/receiver/wal-receiver.actor.ts'
import { createWalSenderHub } from '../../src/sender/wal-sender-hub.ts'
import type { WalReceiver, WalReceiverOptions, WalSenderHub, WalSenderState } from '../../src/api.ts'
import type { MemoryNetwork } from './memory-network.ts'

export const SEGMENT = 1024 * 1024
export const CLUSTER = 'cluster-a'

export const quiet: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: (fields, sentence) => {
    throw new Error(`${sentence}: ${JSON.stringify(fields)}`)
  },
  child: () => quiet,
}

export const settings: Settings = { ...defaultSettings, wal_sender_timeout: 2000, wal_receiver_timeout: 2000 }

export function testPorts(network: MemoryNetwork, disk = realDisk): Ports {
  const random = { next: () => 0.5, hex: () => '00' }
  return { clock: realClock, network, disk, random, log: quiet }
}

function portsOf(world: Ports | MemoryNetwork): Ports {
  return 'clock' in world ? world : testPorts(world)
}

/** A folder that is gone after the test. */
export function tempDir(t: { teardown(fn: () => void): void }): string {
  const dir = mkdtempSync(join(tmpdir(), 'mirabelle-wal-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** Puts WAL bytes into segment files, as PostgreSQL would. */
export function writeSegments(dir: string, timeline: Timeline, start: Lsn, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) {
    const lsn = start + at
    const offset = lsn % SEGMENT
    const piece = bytes.subarray(at, at + SEGMENT - offset)
    const path = join(dir, walFileName(timeline, lsn, SEGMENT))
    const fd = openSync(path, existsSync(path) ? 'r+' : 'w+')
    if (fstatSync(fd).size < SEGMENT) ftruncateSync(fd, SEGMENT)
    writeSync(fd, piece, 0, piece.length, offset)
    closeSync(fd)
    at += piece.length
  }
}

export class FakePrimary {
  readonly dir: string
  readonly hub: WalSenderHub
  readonly flushed: Lsn[] = []
  readonly states: { state: WalSenderState; reason: MirabelleError | null }[] = []
  position: WalPosition
  history: HistoryEntry[] = []
  isPrimary = true
  epoch = 1
  content = 0
  systemIdentifier = '77'
  port = 0
  seq = 0

  constructor(
    dir: string,
    world: Ports | MemoryNetwork,
    start: Lsn = SEGMENT,
    extra: { settledLimit?: { entries: number; bytes: number } } = {},
  ) {
    this.dir = dir
    mkdirSync(dir, { recursive: true })
    this.position = { timeline: 1, lsn: start, prev: 0, segmentSize: SEGMENT, systemIdentifier: 77n }
    this.hub = createWalSenderHub({
      ports: portsOf(world),
      identity: { clusterId: CLUSTER, content: 0, dbid: 2 },
      state: () => ({
        timeline: this.position.timeline,
        flushLsn: this.position.lsn,
        history: this.history,
        systemIdentifier: this.systemIdentifier,
        isPrimary: this.isPrimary,
        epoch: this.epoch,
      }),
      files: createWalFiles({ disk: realDisk, folders: [dir] }),
      settings: () => settings,
      listeners: {
        onFlushed: (_dbid, lsn) => this.flushed.push(lsn),
        onState: (_dbid, state, reason) => this.states.push({ state, reason }),
      },
      ...extra,
    })
  }

  async listen(network: Network, port = 0, address = 'memory'): Promise<Listener> {
    const listener = await network.listen(
      { addresses: [address], port },
      () => ({ clusterId: CLUSTER, kind: 'instance', dbid: 2, content: this.content, name: 'primary' }),
      (connection, hello) => this.hub.accept(connection, hello),
    )
    this.port = listener.port
    return listener
  }

  /** Writes records as the engine would: into the files, then published; each payload is a statement that took effect. */
  write(payloads: readonly Uint8Array[], options: { withBytes?: boolean; publish?: boolean } = {}): Lsn {
    const encoded = encodeWalRecords(
      this.position,
      payloads.map((payload) => ({ payload })),
    )
    writeSegments(this.dir, this.position.timeline, encoded.start, encoded.bytes)
    this.position = encoded.next
    if (options.publish === false) return encoded.next.lsn
    const settled = encoded.records.map((record): SettledEntry => [this.seq++, record.endLsn, null])
    this.hub.publish(
      {
        timeline: this.position.timeline,
        start: encoded.start,
        end: encoded.next.lsn,
        bytes: options.withBytes === false ? undefined : encoded.bytes,
      },
      settled,
      'run-1',
    )
    return encoded.next.lsn
  }

  /** As a promotion does: a new timeline from here, its first segment a copy of the old one. */
  newTimeline(): void {
    const { timeline, lsn } = this.position
    this.history = [...this.history, { timeline, end: lsn }]
    const next = timeline + 1
    const from = join(this.dir, walFileName(timeline, lsn, SEGMENT))
    if (existsSync(from)) writeFileSync(join(this.dir, walFileName(next, lsn, SEGMENT)), readFileSync(from))
    writeFileSync(join(this.dir, historyFileName(next)), formatHistory(this.history))
    this.position = { ...this.position, timeline: next }
  }
}

export function payload(length: number, fill = 7): Uint8Array {
  return new Uint8Array(length).fill(fill)
}

export interface Mirror {
  readonly dir: string
  readonly receiver: WalReceiver
  readonly flushed: Lsn[]
  readonly states: string[]
}

export function startMirror(
  t: { teardown(fn: () => void | Promise<unknown>): void },
  world: Ports | MemoryNetwork,
  primary: FakePrimary,
  options: Partial<WalReceiverOptions> & { dir: string },
): Mirror {
  const flushed: Lsn[] = []
  const states: string[] = []
  mkdirSync(options.dir, { recursive: true })
  const receiver = createWalReceiver({
    ports: portsOf(world),
    identity: { clusterId: CLUSTER, content: 0, dbid: 3, systemIdentifier: '77' },
    peer: { dbid: 2, endpoint: { addresses: ['memory'], port: primary.port } },
    walDir: options.dir,
    start: { timeline: 1, receivedEnd: SEGMENT },
    epoch: () => 1,
    replayLsn: () => 0,
    settings: () => settings,
    onFlushed: (_timeline, lsn) => flushed.push(lsn),
    onState: (state) => states.push(state),
    ...options,
  })
  t.teardown(() => receiver.stop())
  return { dir: options.dir, receiver, flushed, states }
}

/** Waits for a condition that an event will make true; fails after 10 s with what it waited for. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const end = Date.now() + 10_000
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited in vain until ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

/** The WAL bytes [from, to) as they lie in a folder. */
export function walIn(dir: string, timeline: Timeline, from: Lsn, to: Lsn): Buffer {
  const pieces: Buffer[] = []
  for (let at = from; at < to;) {
    const start = at - (at % SEGMENT)
    const end = Math.min(to, start + SEGMENT)
    pieces.push(readFileSync(join(dir, walFileName(timeline, at, SEGMENT))).subarray(at - start, end - start))
    at = end
  }
  return Buffer.concat(pieces)
}
