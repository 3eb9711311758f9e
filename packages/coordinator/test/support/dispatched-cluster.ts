/** A dispatcher over contents that are stand-ins: what its tests, and those of its parts, have in common. */
import type { Test } from 'tap'
import { Dispatcher } from '../../src/dispatcher.ts'
import type { DistributedTransaction } from '../../src/dtx/transaction.ts'
import type { Cancellation } from '../../src/lanes/cancellation.ts'
import { NO_SETTINGS } from '../../src/lanes/lane-item.ts'
import { queryMessage } from '../../src/lanes/frontend-bytes.ts'
import { fakePorts } from './fake-ports.ts'
import { FakeSegment } from './fake-segment.ts'
import { ManualClock } from './manual-clock.ts'

/** A statement of `fake-segment.ts` as an item; `R` reads. */
export const item = (sql: string) => ({
  bytes: queryMessage(sql),
  syncs: 1,
  settings: NO_SETTINGS,
  write: !sql.startsWith('R'),
})

/** What a rejection with this SQLSTATE looks like. */
export const failing = (sqlstate: string) => ({ name: 'SqlError', sqlstate }) as { name: string }

export const CONTENTS = [0, 1, 2] as const

export class Cluster {
  readonly clock = new ManualClock()
  readonly segments = new Map(CONTENTS.map((content) => [content as number, new FakeSegment(content)]))
  dispatcher: Dispatcher
  incarnation = 'a1'

  constructor() {
    this.dispatcher = this.#start()
  }

  #start(): Dispatcher {
    const dispatcher = new Dispatcher({
      ports: fakePorts(this.clock),
      contents: CONTENTS,
      incarnation: this.incarnation,
      failoverTimeoutMs: () => 30_000,
      onLaneLost() {},
    })
    for (const [content, segment] of this.segments)
      dispatcher.setPrimary(content, 'first', segment.opener(this.incarnation))
    return dispatcher
  }

  segment(content: number): FakeSegment {
    return this.segments.get(content) as FakeSegment
  }

  /** The coordinator dies: all connections are cut; another one takes over. */
  restart(): void {
    for (const segment of this.segments.values()) segment.lose()
    const old = this.dispatcher
    this.incarnation = 'b2'
    this.dispatcher = this.#start()
    for (const lane of old.lanes.values()) lane.close(new Error('gone') as never)
  }

  async open(): Promise<void> {
    const opened = this.dispatcher.whenOpen(this.clock, 20_000)
    await this.clock.advance(1_000)
    await opened
  }

  /** Nothing is held, prepared, under way or remembered. */
  rest(t: Test, where = ''): void {
    for (const [content, lane] of this.dispatcher.lanes) {
      t.equal(lane.queue.holder, undefined, `content ${content} is free ${where}`)
      t.equal(lane.queue.waiting.length, 0)
      t.equal(lane.inFlight, 0)
      t.equal(this.segment(content).prepared.size, 0, `nothing is prepared on ${content} ${where}`)
    }
    t.same(this.dispatcher.registry.inDoubt(), [])
  }
}

export async function opened(): Promise<Cluster> {
  const cluster = new Cluster()
  await cluster.open()
  return cluster
}

/** A transaction that has written x on these contents. */
export async function writing(
  cluster: Cluster,
  contents: readonly number[],
): Promise<DistributedTransaction> {
  const transaction = cluster.dispatcher.begin()
  await transaction.touch(contents)
  for (const content of contents) await transaction.run(content, item('W x')).promise
  return transaction
}

/** A cancellation that remembers what it was given. */
export function canceller(): Cancellation & { now: (() => void) | undefined } {
  return {
    now: undefined,
    set(cancel) {
      this.now = cancel
    },
  }
}
