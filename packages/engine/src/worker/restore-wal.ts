/**
 * What PostgreSQL in continuous recovery gets when it runs its `restore_command`: the next WAL file, once it is there.
 *
 * Called synchronously from PostgreSQL's C `system()`, on the engine thread. It blocks that thread until the walreceiver has
 * the first of the segment, or the mirror is promoted; the rest is waited for page by page (live-segment.ts). It must never answer "not there" for WAL that is still to come: PostgreSQL would
 * end recovery, which is a promotion that nobody asked for.
 */
import { constants, copyFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Lsn } from '@mirabelle/messages'
import { isHistoryName, parseSegmentName, type InstancePaths, type SegmentName } from '../layout.ts'
import { Field, type SharedState } from '../shared/shared-state.ts'
import { LiveSegment } from './live-segment.ts'

/** Exit codes as `system()` gives them: success, and exit code 1. */
const FOUND = 0
const NOT_THERE = 256

/** The setting that makes PostgreSQL ask `RestoreWal`. */
export const RESTORE_COMMAND = 'restore_command=restore %f %p'

export class RestoreWal {
  readonly #paths: InstancePaths
  readonly #segmentBytes: number
  readonly #state: SharedState
  readonly #waiting: () => void
  /** What PostgreSQL replays while it is received. */
  #live: LiveSegment | undefined

  /** `waiting` is called before the thread blocks. */
  constructor(paths: InstancePaths, segmentBytes: number, state: SharedState, waiting: () => void) {
    this.#paths = paths
    this.#segmentBytes = segmentBytes
    this.#state = state
    this.#waiting = waiting
  }

  /** Runs one command line: `restore <file> <path below the data directory>`. */
  run(command: string): number {
    const [verb, name, target] = command.split(' ')
    if (verb !== 'restore' || name === undefined || target === undefined) return NOT_THERE
    const to = join(this.#paths.pgdata, target)
    const segment = parseSegmentName(name, this.#segmentBytes)
    if (segment !== undefined) return this.#restoreSegment(name, segment, to)
    return isHistoryName(name) ? this.#copyReceived(name, to) : NOT_THERE
  }

  /** Called before PostgreSQL reads from a WAL segment file: returns when what it wants to read is there, or never will be. */
  beforeRead(name: string, position: number, length: number): void {
    if (this.#live?.name !== name) return
    this.#live.await(position, length)
    if (this.#live.whole) this.#dropLive()
  }

  #restoreSegment(name: string, segment: SegmentName, to: string): number {
    const end = segment.start + this.#segmentBytes
    for (;;) {
      const signal = this.#state.get(Field.walSignal)
      const received = this.#state.received()
      // A segment of an older timeline is complete: the newest timeline is always asked for first.
      if (segment.timeline < received.timeline || end <= received.end) return this.#serveWhole(name, to)
      const promoting = this.#state.get(Field.promote) === 1
      if (segment.start < received.end && (promoting || this.#state.get(Field.live) === 1))
        return this.#serveLive(name, segment, to, received.end)
      if (promoting) return NOT_THERE
      this.#waiting()
      this.#state.waitWhile(Field.walSignal, signal)
    }
  }

  /** Received WAL first; else PostgreSQL's own, which it reads itself after "not there". */
  #serveWhole(name: string, to: string): number {
    const found = this.#copyReceived(name, to)
    if (found === FOUND || existsSync(join(this.#paths.pgWal, name))) return found
    if (
      this.#state.received().timeline !== (parseSegmentName(name, this.#segmentBytes) as SegmentName).timeline
    )
      return NOT_THERE
    throw new Error(
      `WAL segment ${name} is neither among the received WAL nor in pg_wal: the mirror needs a new copy`,
    )
  }

  #copyReceived(name: string, to: string): number {
    const from = join(this.#paths.receivedWal, name)
    if (!existsSync(from)) return NOT_THERE
    copyFileSync(from, to, constants.COPYFILE_FICLONE)
    return FOUND
  }

  /** The newest segment up to where WAL is received, then zeros: what lies behind on disk may be rubbish. */
  #serveLive(name: string, segment: SegmentName, to: string, receivedEnd: Lsn): number {
    const received = join(this.#paths.receivedWal, name)
    const source = existsSync(received) ? received : join(this.#paths.pgWal, name)
    if (!existsSync(source)) return NOT_THERE
    this.#dropLive()
    this.#live = new LiveSegment(
      {
        name,
        segment,
        segmentBytes: this.#segmentBytes,
        received,
        source,
        target: to,
        state: this.#state,
        waiting: this.#waiting,
      },
      receivedEnd,
    )
    return FOUND
  }

  #dropLive(): void {
    this.#live?.close()
    this.#live = undefined
  }
}
