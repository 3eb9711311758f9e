/**
 * A content as its lane sees it: a tiny transactional store that speaks the few statements of the dispatcher, survives the loss of its
 * connections, and loses them where a test says so.
 *
 * `W x` writes x, `R` reads, `FAIL` is an error; the rest is BEGIN … COMMIT and the two-phase statements of PostgreSQL.
 */
import { SETTINGS_LACKING } from '@mirabelle/engine'
import { DispatchFlag, MirabelleError, type SettledEntry } from '@mirabelle/messages'
import type { SendLimits } from '../../src/lanes/send-window.ts'
import type { BackendEvents, LaneBackend, OpenBackend } from '../../src/lanes/lane-backend.ts'

export type Fault = 'lose-before' | 'lose-after' | 'hang' | 'refuse'

interface Line {
  readonly events: BackendEvents
  readonly incarnation: string
  writes: string[] | undefined
  gids: string[]
  failed: boolean
  alive: boolean
}

export class FakeSegment {
  readonly content: number
  /** What is committed, in order. */
  committed: string[] = []
  readonly prepared = new Map<string, { writes: string[]; gids: string[]; dropped: string[] }>()
  readonly dtxRows = new Set<string>()
  readonly settledItems = new Map<string, { lsn: number; output: Uint8Array | null }>()
  /** Every statement that has run, in order. */
  readonly ran: string[] = []
  floor = 0
  keepAnswers = true
  reachable = true
  /** What it says of a statement whose answer has not come; `nothing`: it hangs. */
  says: 'it has run' | 'it runs' | 'nothing' = 'it runs'
  /** Hears no cancel: it hangs as a stopped process does. */
  deaf = false
  generation = 1
  /** Asked for each statement. */
  fault: (sql: string) => Fault | undefined = () => undefined
  /** Asked for each item that counts on settings which were sent before it: they do not apply. */
  lacksSettings: (statements: readonly string[]) => boolean = () => false
  /** What it takes at a time. With more it cuts the connection, as a segment does. */
  limits: SendLimits | undefined
  /** The most that it has had at a time. */
  most = 0
  opened = 0
  #lsn = 100
  #line: Line | undefined
  /** Answers that are held back, while they are. */
  #held: (() => void)[] | undefined
  #dropped: string[] = []

  constructor(content: number) {
    this.content = content
  }

  /** The way to open a backend for a coordinator of this incarnation. */
  opener(incarnation: string): OpenBackend {
    return async (events) => {
      await new Promise<void>((resolve) => setImmediate(resolve))
      if (!this.reachable)
        throw new MirabelleError('connection.refused', `content ${this.content} is not there`)
      this.lose()
      this.opened++
      const line: Line = {
        events,
        incarnation,
        writes: undefined,
        gids: [],
        failed: false,
        alive: true,
      }
      this.#line = line
      return this.#backend(line)
    }
  }

  /** Cuts the connection; an open transaction is rolled back. */
  lose(reason = new MirabelleError('connection.lost', 'cut')): void {
    const line = this.#line
    if (line === undefined) return
    this.#line = undefined
    line.alive = false
    line.events.onLost(reason)
  }

  /** Statements run and are not answered, until `answersAgain`. */
  holdAnswers(says: FakeSegment['says']): void {
    this.#held = []
    this.says = says
  }

  answersAgain(): void {
    const held = this.#held ?? []
    this.#held = undefined
    for (const answer of held) answer()
  }

  #backend(line: Line): LaneBackend {
    const queue: (() => void)[] = []
    const pending = new Set<number>()
    let hanging = false
    const pump = () => {
      while (queue.length > 0 && line.alive && !hanging) queue.shift()?.()
    }
    const { limits } = this
    return {
      generation: this.generation,
      ...(limits === undefined ? {} : { limits }),
      send: (seq, bytes, _syncs, preambleSyncs, flags) => {
        pending.add(seq)
        this.most = Math.max(this.most, pending.size)
        if (limits !== undefined && this.most > limits.items)
          this.lose(new MirabelleError('queue.full', 'too much at a time'))
        queue.push(() => {
          if (this.#run(line, seq, bytes, preambleSyncs, flags) === 'hang') hanging = true
          else pending.delete(seq)
        })
        setImmediate(pump)
      },
      cancel: (seq) => {
        if (this.deaf) return
        hanging = false
        pending.delete(seq)
        if (line.writes !== undefined) line.failed = true
        if (line.alive) line.events.onFailed(seq, new MirabelleError('cancelled', 'canceled'))
        setImmediate(pump)
      },
      hasRun: () =>
        this.says === 'nothing'
          ? Promise.reject(new MirabelleError('timeout', 'no word of it'))
          : Promise.resolve(this.says === 'it has run'),
      settled: (seqs) => {
        if (!line.alive) return Promise.reject(new MirabelleError('connection.lost', 'cut'))
        const settled: SettledEntry[] = []
        for (const seq of seqs) {
          const one = this.settledItems.get(`${line.incarnation}/${seq}`)
          if (one !== undefined) settled.push([seq, one.lsn, one.output])
        }
        return Promise.resolve({ floor: this.floor, settled })
      },
      close: () => {
        line.alive = false
        if (this.#line === line) this.#line = undefined
      },
    }
  }

  #run(line: Line, seq: number, bytes: Uint8Array, preambleSyncs: number, flags: number): 'hang' | undefined {
    const { generation } = this
    if ((flags & DispatchFlag.inTransaction) !== 0 && line.writes === undefined) {
      const output = errorResponse('40001', 'the transaction is not open any more')
      line.events.onDone(seq, { output, lsn: this.#lsn, txStatus: 'I', generation })
      return undefined
    }
    const statements = queries(bytes)
    const needs = (flags & DispatchFlag.needsSettings) !== 0 && line.writes === undefined
    if (needs && this.lacksSettings(statements)) {
      const output = errorResponse(SETTINGS_LACKING, 'the settings of the session do not apply any more')
      line.events.onDone(seq, { output, lsn: this.#lsn, txStatus: 'I', generation })
      return undefined
    }
    const outputs: Uint8Array[] = []
    let wrote = false
    for (const [i, sql] of statements.entries()) {
      const fault = this.fault(sql)
      if (fault === 'lose-before') {
        this.lose()
        return undefined
      }
      if (fault === 'hang') return 'hang'
      const before = this.committed.length
      const output =
        fault === 'refuse' ? this.#error(line, '53100', 'refused by the test') : this.#execute(line, sql)
      if (i >= preambleSyncs || output[0] === 0x45) outputs.push(output)
      wrote ||= this.committed.length > before || sql === 'COMMIT'
      if (fault === 'lose-after') {
        if (wrote) this.#settle(line, seq, Buffer.concat(outputs))
        this.lose()
        return undefined
      }
      if (i < preambleSyncs && output[0] === 0x45) break
    }
    const output = Buffer.concat(outputs)
    if ((flags & DispatchFlag.mustSucceed) !== 0 && output[0] === 0x45) {
      this.lose(new MirabelleError('engine.died', 'PostgreSQL died'))
      return undefined
    }
    if (wrote) this.#settle(line, seq, output)
    const txStatus = line.failed ? 'E' : line.writes === undefined ? 'I' : 'T'
    const result = { output, lsn: this.#lsn, txStatus, generation } as const
    const answer = () => {
      if (line.alive) line.events.onDone(seq, result)
    }
    if (this.#held === undefined) answer()
    else this.#held.push(answer)
    return undefined
  }

  #settle(line: Line, seq: number, output: Uint8Array): void {
    this.settledItems.set(`${line.incarnation}/${seq}`, {
      lsn: this.#lsn,
      output: this.keepAnswers ? output : null,
    })
  }

  #error(line: Line, code: string, message: string): Uint8Array {
    if (line.writes !== undefined) line.failed = true
    return errorResponse(code, message)
  }

  #execute(line: Line, sql: string): Uint8Array {
    this.ran.push(sql)
    this.#lsn++
    const inQuotes = /'([^']*)'/.exec(sql)?.[1] ?? ''
    if (line.failed && sql !== 'ROLLBACK' && sql !== 'COMMIT' && !sql.startsWith('PREPARE TRANSACTION'))
      return errorResponse('25P02', 'current transaction is aborted')
    if (sql.startsWith('BEGIN')) {
      line.writes = []
      line.gids = []
      this.#dropped = []
      return complete('BEGIN')
    }
    if (sql === 'COMMIT' || sql === 'ROLLBACK' || sql.startsWith('PREPARE TRANSACTION')) {
      const { writes, gids, failed } = line
      line.writes = undefined
      line.failed = false
      if (sql === 'ROLLBACK' || failed || writes === undefined) return complete('ROLLBACK')
      if (sql === 'COMMIT') {
        this.committed.push(...writes)
        return complete('COMMIT')
      }
      this.prepared.set(inQuotes, { writes, gids, dropped: this.#dropped })
      return complete('PREPARE TRANSACTION')
    }
    if (sql.includes('PREPARED ')) {
      if (line.writes !== undefined) return this.#error(line, '25001', 'inside a transaction')
      const one = this.prepared.get(inQuotes)
      if (one === undefined) return this.#error(line, '42704', `${inQuotes} does not exist`)
      this.prepared.delete(inQuotes)
      if (sql.startsWith('COMMIT')) {
        this.committed.push(...one.writes)
        for (const gid of one.gids) this.dtxRows.add(gid)
        for (const gid of one.dropped) this.dtxRows.delete(gid)
      }
      return complete(sql.startsWith('COMMIT') ? 'COMMIT PREPARED' : 'ROLLBACK PREPARED')
    }
    if (sql.includes('pg_prepared_xact()')) return rows([...this.prepared.keys()])
    if (sql.startsWith('SELECT gid FROM pg_catalog.dtx_committed')) return rows([...this.dtxRows])
    if (sql.includes('INSERT INTO pg_catalog.dtx_committed')) {
      line.gids.push(/VALUES \('([^']*)'\)/.exec(sql)?.[1] as string)
      this.#dropped = [...(/gid IN \(([^)]*)\)/.exec(sql)?.[1] ?? '').matchAll(/'([^']*)'/g)].map(
        (match) => match[1] as string,
      )
      return complete('INSERT 0 1')
    }
    if (sql.startsWith('DELETE FROM pg_catalog.dtx_committed')) {
      for (const match of sql.matchAll(/'([^']*)'/g)) this.dtxRows.delete(match[1] as string)
      return complete('DELETE 1')
    }
    if (sql.startsWith('W ')) {
      const value = sql.slice(2)
      if (line.writes === undefined) this.committed.push(value)
      else line.writes.push(value)
      return complete('INSERT 0 1')
    }
    if (sql === 'FAIL') return this.#error(line, '23505', 'it fails')
    if (sql === 'R') return rows(this.committed)
    return complete('SET')
  }
}

/** The texts of the Query messages. */
export function queries(bytes: Uint8Array): string[] {
  const view = Buffer.from(bytes)
  const texts: string[] = []
  for (let at = 0; at < view.length; at += 1 + view.readUInt32BE(at + 1)) {
    if (view[at] === 0x51) texts.push(view.toString('utf8', at + 5, at + view.readUInt32BE(at + 1)))
  }
  return texts
}

function message(type: string, ...body: Uint8Array[]): Uint8Array {
  const content = Buffer.concat(body)
  const head = Buffer.alloc(5)
  head.write(type)
  head.writeUInt32BE(content.length + 4, 1)
  return Buffer.concat([head, content])
}

export function complete(tag: string): Uint8Array {
  return message('C', Buffer.from(`${tag}\0`))
}

export function rows(values: readonly string[]): Uint8Array {
  return Buffer.concat([
    ...values.map((value) => {
      const head = Buffer.alloc(6)
      head.writeUInt16BE(1)
      head.writeUInt32BE(Buffer.byteLength(value), 2)
      return message('D', head, Buffer.from(value))
    }),
    complete(`SELECT ${values.length}`),
  ])
}

export function errorResponse(code: string, text: string): Uint8Array {
  return message('E', Buffer.from(`SERROR\0C${code}\0M${text}\0\0`))
}
