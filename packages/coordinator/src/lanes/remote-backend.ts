/**
 * The backend of a lane on another process: a dispatch connection to the acting primary of a content.
 * What is sent together leaves in one frame: see dispatch-batch.ts.
 */
import {
  MirabelleError,
  type Content,
  type Dbid,
  type Endpoint,
  type Epoch,
  type Message,
} from '@mirabelle/messages'
import type { Connection, Hello, Ports } from '@mirabelle/runtime'
import { DispatchBatch } from './dispatch-batch.ts'
import type { BackendEvents, LaneBackend } from './lane-backend.ts'
import { WholeAnswers } from './whole-answers.ts'

export interface RemoteTarget {
  readonly dbid: Dbid
  readonly content: Content
  readonly endpoint: Endpoint
}

export interface RemoteOptions {
  readonly ports: Ports
  readonly hello: () => Hello
  readonly epoch: () => Epoch
  readonly incarnation: string
  readonly connectTimeoutMs: number
  readonly silenceTimeoutMs: number
}

/** How long a process may take to say whether PostgreSQL is done with a statement, ms: PostgreSQL itself is not asked. */
const HAS_RUN_MS = 500

/**
 * What may be under way at a time: half of what a segment takes before it cuts the lane off, whatever settings add to it. And the biggest single item, which goes alone: what
 * no frame can carry is refused.
 */
const LIMITS = { items: 5_000, bytes: 32 * 1024 * 1024, itemBytes: 60 * 1024 * 1024 }

const NOTHING = new Uint8Array(0)

/** Connects to a primary and opens its lane. */
export async function openRemoteBackend(
  target: RemoteTarget,
  options: RemoteOptions,
  events: BackendEvents,
  nextSeq: number,
): Promise<LaneBackend> {
  const connection = await options.ports.network.connect(target.endpoint, options.hello(), {
    timeoutMs: options.connectTimeoutMs,
    silenceTimeoutMs: options.silenceTimeoutMs,
  })
  let lost = false
  const lose = (reason: MirabelleError) => {
    if (lost) return
    lost = true
    events.onLost(reason)
  }
  let opened = false
  const batch = new DispatchBatch(options.ports.clock, (items) =>
    connection.send({ type: 'query.dispatch', items }),
  )
  const answers = new WholeAnswers()
  connection.setHandlers({
    onMessage: (message) => deliver(message, { connection, events, batch, answers }),
    onClose: (reason) => {
      if (opened) lose(reason)
    },
  })
  try {
    const answer = await connection.request(
      {
        type: 'dispatch.open',
        dbid: target.dbid,
        content: target.content,
        epoch: options.epoch(),
        incarnation: options.incarnation,
        nextSeq,
      },
      options.connectTimeoutMs,
    )
    opened = true
    if (connection.closed)
      throw new MirabelleError(
        'connection.lost',
        `content ${target.content}: dbid ${target.dbid} closed the lane while it opened`,
      )
    return new RemoteBackend(connection, answer.generation, options, target, { batch, answers })
  } catch (error) {
    connection.close()
    throw error
  }
}

/** What a connection brings answers to. */
interface Receiving {
  readonly connection: Connection
  readonly events: BackendEvents
  readonly batch: DispatchBatch
  readonly answers: WholeAnswers
}

function deliver(message: Message, { connection, events, batch, answers }: Receiving): void {
  switch (message.type) {
    case 'query.done':
      for (const [seq, lsn, txStatus, generation, output] of message.items) {
        events.onDone(seq, { output: answers.over(seq, output), lsn, txStatus, generation })
      }
      batch.answered(message.items.length)
      return
    case 'query.failed':
      answers.over(message.seq, NOTHING)
      events.onFailed(message.seq, new MirabelleError(message.code as 'cancelled', message.message))
      batch.answered(1)
      return
    case 'query.output': {
      const bytes = message.chunk.byteLength
      const isKept = answers.keeps(message.seq, message.chunk)
      const passed = isKept ? undefined : events.onOutput(message.seq, message.chunk)
      const credit = () => connection.send({ type: 'query.credit', seq: message.seq, bytes })
      if (passed === undefined) credit()
      // When the consumer failed the statement is cancelled by whoever noticed; the credit lets it come to its end.
      else passed.then(credit, credit)
      return
    }
    default:
      throw new MirabelleError('message.bad', `unexpected ${message.type} on a dispatch connection`)
  }
}

class RemoteBackend implements LaneBackend {
  readonly generation: number
  readonly limits = LIMITS
  readonly #connection: Connection
  readonly #options: RemoteOptions
  readonly #target: RemoteTarget
  readonly #batch: DispatchBatch
  readonly #answers: WholeAnswers

  constructor(
    connection: Connection,
    generation: number,
    options: RemoteOptions,
    target: RemoteTarget,
    { batch, answers }: Pick<Receiving, 'batch' | 'answers'>,
  ) {
    this.#connection = connection
    this.#batch = batch
    this.#answers = answers
    this.generation = generation
    this.#options = options
    this.#target = target
  }

  send(seq: number, bytes: Uint8Array, syncs: number, preambleSyncs: number, flags: number): void {
    this.#answers.sent(seq, flags)
    this.#batch.add([seq, syncs, preambleSyncs, flags, bytes])
  }

  cancel(seq: number): void {
    this.#batch.flush()
    this.#connection.send({ type: 'query.cancel', seq })
  }

  async hasRun(seq: number): Promise<boolean> {
    this.#batch.flush()
    const answer = await this.#connection.request({ type: 'dispatch.hasRun', seq }, HAS_RUN_MS)
    return answer.hasRun
  }

  async settled(seqs: readonly number[]) {
    const answer = await this.#connection.request(
      { type: 'dispatch.settled', incarnation: this.#options.incarnation, seqs },
      this.#options.connectTimeoutMs,
    )
    return { floor: answer.floor, settled: answer.settled }
  }

  close(): void {
    this.#batch.flush()
    this.#connection.close(
      new MirabelleError(
        'connection.lost',
        `content ${this.#target.content}: the coordinator closed the lane`,
      ),
    )
  }
}
