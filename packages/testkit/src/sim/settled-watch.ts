/**
 * Watches what is said of statements that took effect: by a primary to its mirror, and to the coordinator that asks after a lane was lost. It has to be what
 * PostgreSQL said, with the same answer; it has to be in the WAL that there is; and nobody may have forgotten what it had been told. Made with the promise watch
 * of a simulation; a broken promise ends the run.
 */
import type { Content, Lsn, Message, MessageOf, SettledEntry } from '@mirabelle/messages'
import { walFoldersOf } from './sim-base.ts'
import { hasShortRings, type RunningInstance, type SimCluster } from './sim-cluster.ts'
import type { SimConnection } from './sim-connection.ts'
import type { SimProcess } from './sim-process.ts'
import { readHistory } from './sim-wal.ts'
import { SimFailure } from './sim-world.ts'

type Frame = MessageOf<'wal.data'> | MessageOf<'wal.started'>

/** What a mirror has heard on its streams, or a primary has seen itself. */
interface Known {
  readonly incarnation: string
  floor: number
  readonly entries: Map<number, SettledEntry>
}

export class SettledWatch {
  readonly #cluster: SimCluster
  /** All that PostgreSQL has said, by content and number: the coordinators of a run give the same numbers. */
  readonly #said = new Map<Content, Map<number, SettledEntry[]>>()
  readonly #own = new WeakMap<SimProcess, Known>()
  readonly #heard = new WeakMap<SimProcess, Known>()
  /** Sent on a connection and not known to have arrived. */
  readonly #underWay = new WeakMap<SimConnection, Frame[]>()

  constructor(cluster: SimCluster) {
    this.#cluster = cluster
  }

  /** Looks at every message from now on. */
  watch(): void {
    const { fabric } = this.#cluster
    const { tap, asked } = fabric
    fabric.tap = (from, message) => {
      tap?.(from, message)
      this.#saw(from, message)
    }
    fabric.asked = (at, message) => {
      const onReply = this.#asked(at, message)
      const next = asked?.(at, message)
      return onReply === undefined ? next : both(onReply, next)
    }
    this.#cluster.onCompleted = (process, content, completed) => {
      if (content < 0) return
      const own = this.#own.get(process)
      for (const { tag, lsn, output } of completed) {
        if (tag < 0) continue
        const entry: SettledEntry = [tag, lsn, output ?? null]
        const said = this.#saidIn(content)
        const others = said.get(tag)
        if (others === undefined) said.set(tag, [entry])
        else others.push(entry)
        own?.entries.set(tag, entry)
      }
    }
  }

  /** A message is sent. */
  #saw(from: SimConnection, message: Message): void {
    if (message.type === 'wal.started' || message.type === 'wal.data') this.#tells(from, message)
    else if (message.type === 'wal.flushed') this.#arrived(from, message.sentAt)
  }

  /** A request arrives; what comes back sees its answer. */
  #asked(at: SimConnection, message: Message): ((reply: Message) => void) | undefined {
    if (message.type === 'dispatch.open')
      return (reply) => {
        if (reply.type === 'dispatch.opened') this.#opened(at.process, message)
      }
    if (message.type !== 'dispatch.settled') return undefined
    const running = this.#cluster.instanceIn(at.process)
    if (running === undefined) return undefined
    return (reply) => {
      if (reply.type === 'dispatch.settledAre') this.#answers(running, message, reply)
    }
  }

  /** Numbers mean statements of this coordinator from now on. */
  #opened(process: SimProcess, { incarnation, nextSeq }: MessageOf<'dispatch.open'>): void {
    if (this.#own.get(process)?.incarnation === incarnation) return
    const isKnown = this.#heard.get(process)?.incarnation === incarnation
    this.#own.set(process, {
      incarnation,
      floor: isKnown ? 0 : nextSeq,
      entries: new Map(),
    })
  }

  #tells(from: SimConnection, frame: Frame): void {
    const running = this.#cluster.instanceIn(from.process)
    if (running === undefined) return
    const said = this.#saidIn(running.assignment.content)
    for (const entry of frame.settled) {
      if (!wasSaid(said, entry))
        return this.#fail(running, `tells its mirror ${wordsOf(entry)}, which PostgreSQL did not say`)
    }
    // Until it is known to have arrived nobody knows what the mirror knows.
    if (frame.type === 'wal.started' && from.other !== undefined) this.#heard.delete(from.other.process)
    const waiting = this.#underWay.get(from)
    if (waiting !== undefined) waiting.push(frame)
    else this.#underWay.set(from, [frame])
  }

  /** The mirror says what it has heard last: all that was sent before has arrived. */
  #arrived(from: SimConnection, sentAt: number): void {
    const waiting = from.other === undefined ? undefined : this.#underWay.get(from.other)
    if (waiting === undefined) return
    while (waiting.length > 0) {
      const frame = waiting[0] as Frame
      // The answer to wal.start has arrived when anything is said after it.
      if (frame.type === 'wal.data' && frame.sentAt > sentAt) return
      waiting.shift()
      this.#hears(from.process, frame)
    }
  }

  #hears(process: SimProcess, { type, incarnation, settledFloor, settled }: Frame): void {
    let heard = this.#heard.get(process)
    if (heard === undefined || type === 'wal.started' || heard.incarnation !== incarnation) {
      heard = { incarnation, floor: settledFloor, entries: new Map() }
      this.#heard.set(process, heard)
    }
    heard.floor = Math.max(heard.floor, settledFloor)
    for (const entry of settled) heard.entries.set(entry[0], entry)
  }

  #answers(
    running: RunningInstance,
    { incarnation, seqs }: MessageOf<'dispatch.settled'>,
    { floor, settled }: MessageOf<'dispatch.settledAre'>,
  ): void {
    const { process, assignment, instance } = running
    const fork = this.#forkOf(running)
    const of = (known: Known | undefined): Known | undefined =>
      known?.incarnation === incarnation ? known : undefined
    const own = of(this.#own.get(process))
    const heard =
      instance.assignment.role === 'p' && assignment.role === 'm' ? of(this.#heard.get(process)) : undefined
    const said = this.#saidIn(assignment.content)
    const answered = new Map(settled.map((entry) => [entry[0], entry]))
    for (const entry of settled) {
      const isOwn = own !== undefined && same(own.entries.get(entry[0]), entry)
      if (!isOwn && (entry[1] > fork || !wasSaid(said, entry)))
        return this.#fail(running, `answers ${wordsOf(entry)}, which is not so on its timeline`)
    }
    if (hasShortRings(this.#cluster.world.seed)) return
    for (const seq of seqs) {
      const told = heard?.entries.get(seq)
      const known = own?.entries.get(seq) ?? (told !== undefined && told[1] <= fork ? told : undefined)
      const isRemembered = same(answered.get(seq), known)
      if (known !== undefined && !isRemembered)
        return this.#fail(running, `knows ${wordsOf(known)}, and does not say so`)
      const lowest = heard === undefined ? own?.floor : heard.floor
      if (known === undefined && lowest !== undefined && lowest <= seq && floor > seq)
        return this.#fail(running, `has heard of all from statement ${lowest} on, and says nothing of ${seq}`)
    }
  }

  /** Where the WAL that it received ends and its own begins. */
  #forkOf({ process, assignment: { datadir }, instance }: RunningInstance): Lsn {
    const folders = walFoldersOf(datadir)
    return readHistory(process.host.files, folders, instance.timeline).at(-1)?.end ?? 0
  }

  #saidIn(content: Content): Map<number, SettledEntry[]> {
    let said = this.#said.get(content)
    if (said === undefined) {
      said = new Map()
      this.#said.set(content, said)
    }
    return said
  }

  #fail({ assignment: { dbid, content } }: RunningInstance, what: string): void {
    this.#cluster.world.fail(new SimFailure('settled', `dbid ${dbid} of content ${content} ${what}`))
  }
}

function both(a: (reply: Message) => void, b: ((reply: Message) => void) | undefined) {
  return (reply: Message): void => {
    a(reply)
    b?.(reply)
  }
}

function wasSaid(said: ReadonlyMap<number, readonly SettledEntry[]>, entry: SettledEntry): boolean {
  return said.get(entry[0])?.some((one) => same(one, entry)) === true
}

function same(a: SettledEntry | undefined, b: SettledEntry | undefined): boolean {
  if (a === undefined || b === undefined || a[0] !== b[0] || a[1] !== b[1]) return false
  const [, , one] = a
  const [, , other] = b
  return one === null || other === null ? one === other : Buffer.compare(one, other) === 0
}

function wordsOf([seq, lsn, output]: SettledEntry): string {
  return `that statement ${seq} took effect at ${lsn} with ${output === null ? 'an answer that is lost' : `${output.length} bytes`}`
}
