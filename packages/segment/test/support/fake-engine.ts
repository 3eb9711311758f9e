/** An engine port that runs requests one after the other when the test says so, and writes 100 bytes of WAL for each that is no SELECT. */
import type { EnginePort, EngineRequest, EngineResult, EngineStarted, WalChunk } from '@mirabelle/engine'

interface Waiting {
  readonly request: EngineRequest
  readonly sql: string
  readonly resolve: (result: EngineResult) => void
  readonly reject: (error: Error) => void
}

export class FakeEngine implements EnginePort {
  onWal: (chunk: WalChunk) => void = () => undefined
  onDeath: (error: Error) => void = () => undefined
  readonly ran: string[] = []
  readonly cancelled: number[] = []
  /** Requests run by themselves; else `step` runs one. */
  auto = true
  lsn = 1000
  syncedLsn = 1000
  timeline = 1
  txStatus: EngineResult['txStatus'] = 'I'
  running = false
  replay = 1000
  promotions = 0
  generation = 1
  mirrorStarts: number[] = []
  promoteGate: Promise<void> = Promise.resolve()
  readonly #queue: Waiting[] = []

  startPrimary(): Promise<EngineStarted> {
    this.running = true
    return Promise.resolve({ generation: 1, timeline: this.timeline, lsn: this.lsn })
  }
  startMirror(options: { timeline: number; receivedEnd: number }): Promise<EngineStarted> {
    this.running = true
    this.mirrorStarts.push(options.timeline)
    return Promise.resolve({ generation: 1, timeline: options.timeline, lsn: options.receivedEnd })
  }
  walArrived(_timeline: number, end: number): void {
    this.replay = end
  }
  replayLsn(): number {
    return this.replay
  }
  async promote(): Promise<EngineStarted> {
    await this.promoteGate
    this.promotions += 1
    this.timeline += 1
    this.lsn = this.replay
    return { generation: 1, timeline: this.timeline, lsn: this.lsn }
  }
  submit(request: EngineRequest): Promise<EngineResult> {
    return new Promise((resolve, reject) => {
      const sql = lastQuery(request.bytes)
      this.#queue.push({ request, sql, resolve, reject })
      if (this.auto) queueMicrotask(() => void this.step())
    })
  }
  cancel(tag: number): void {
    this.cancelled.push(tag)
    const at = this.#queue.findIndex((one) => one.request.tag === tag)
    const [one] = at < 0 ? [] : this.#queue.splice(at, 1)
    one?.reject(Object.assign(new Error(`request ${tag} cancelled`), { code: 'ENGINE_CANCELLED' }))
  }
  syncWal(): Promise<number> {
    this.syncedLsn = this.lsn
    return Promise.resolve(this.lsn)
  }
  flushLsn(): number {
    return this.lsn
  }
  stop(): Promise<void> {
    this.running = false
    for (const one of this.#queue.splice(0))
      one.reject(Object.assign(new Error('stopped'), { code: 'ENGINE_STOPPED' }))
    return Promise.resolve()
  }

  get waiting(): string[] {
    return this.#queue.map((one) => one.sql)
  }

  /** The backend starts anew: what was open in it is rolled back. */
  restart(): void {
    this.generation++
    this.txStatus = 'I'
  }

  /** The answer to what belongs to a transaction that is not open. */
  #outside({ tag }: EngineRequest): EngineResult {
    const output = new TextEncoder().encode('the transaction is not open any more')
    return { tag, output, lsn: this.lsn, txStatus: 'I', generation: this.generation }
  }

  /** Runs the next request. */
  async step(): Promise<void> {
    const one = this.#queue.shift()
    if (one === undefined) return
    const { sql, request } = one
    if (request.inTransaction === true && this.txStatus === 'I') return one.resolve(this.#outside(request))
    this.ran.push(sql)
    if (sql === 'BEGIN') this.txStatus = 'T'
    if (/^(COMMIT|ROLLBACK|PREPARE TRANSACTION)/.test(sql)) this.txStatus = 'I'
    const output = new TextEncoder().encode(sql)
    if (sql.startsWith('SELECT big')) {
      for (let i = 0; i < 4; i++) await request.onOutput?.(new Uint8Array(600_000).fill(i))
    }
    const start = this.lsn
    if (!sql.startsWith('SELECT') && request.tag >= 0) this.lsn += 100
    const result = {
      tag: request.tag,
      output,
      lsn: this.lsn,
      txStatus: this.txStatus,
      generation: this.generation,
    }
    if (this.lsn > start) {
      this.onWal({
        timeline: this.timeline,
        start,
        end: this.lsn,
        bytes: new Uint8Array(100),
        completed: [{ tag: request.tag, lsn: this.lsn, output }],
      })
    }
    // The instance's own SQL expects PostgreSQL's bytes.
    one.resolve(request.tag < 0 ? { ...result, output: answerOf(sql) } : result)
  }
}

/** The text of the last of these Query messages. */
function lastQuery(bytes: Uint8Array): string {
  const view = Buffer.from(bytes)
  let at = 0
  for (let next = at; next < view.length; next += 1 + view.readUInt32BE(next + 1)) at = next
  return view.toString('utf8', at + 5, view.length - 1)
}

/** DataRow with '0' for the question after prepared transactions, else nothing. */
function answerOf(sql: string): Uint8Array {
  if (!sql.includes('pg_prepared_xact')) return new Uint8Array(0)
  return new Uint8Array([0x44, 0, 0, 0, 11, 0, 1, 0, 0, 0, 1, 0x30])
}
