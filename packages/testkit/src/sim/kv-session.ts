/**
 * The one backend session of the stand-in engine: understands the few SQL texts that lanes and distributed transactions send, as they are and not otherwise, and a tiny language of
 * its own (`put K V`, `add K N`, `cas K OLD NEW`, `get K`, `append LIST ID`, `once LIST ID` as with a unique key, `list LIST`). Made at each start of a primary. No I/O: what it writes it returns as records.
 */
import type { EngineRequest } from '@mirabelle/engine'
import { CATALOG_KEY } from './sim-catalog-store.ts'
import { frontendQueries, answerBuilder, type AnswerBuilder } from './pg-bytes.ts'
import type { KvChange, KvRecord, KvStore } from './kv-store.ts'

export type KvRequest = Pick<EngineRequest, 'bytes' | 'preambleSyncs' | 'inTransaction'>

export interface KvRun {
  readonly output: Uint8Array
  readonly records: readonly KvRecord[]
  readonly txStatus: 'I' | 'T' | 'E'
}

/** Whom a session tells of what no coordinator may ask for. */
export interface KvWitness {
  /** A statement that is not the resolver's runs while something is prepared (I6): PostgreSQL would hang for ever. */
  besidePrepared(sql: string): void
  /** What is to be committed or rolled back is not prepared (I6). */
  notPrepared(sql: string): void
  /** That a transaction was committed is to be forgotten. */
  forgets(gid: string): void
  /** False while the disk is full: then a statement that writes fails, as one that cannot extend its table. */
  hasRoom(): boolean
}

/** An SQL error of one statement. */
class KvError extends Error {
  readonly sqlstate: string
  constructor(sqlstate: string, message: string) {
    super(message)
    this.sqlstate = sqlstate
  }
}

/** Most statements are of this language. */
const OWN = /^(append|once|put|add|cas|list|get) /

export class KvSession {
  readonly #store: KvStore
  readonly #witness: KvWitness
  #txStatus: 'I' | 'T' | 'E' = 'I'
  #x: number
  #wrote = false
  /** The open transaction says of itself that it is committed under this name: so it has to be prepared first. */
  #names: string | undefined
  /** The open transaction has been opened by BEGIN (not by one Query of several statements). */
  #block = false
  #records: KvRecord[] = []

  constructor(store: KvStore, firstXid: number, witness: KvWitness) {
    this.#store = store
    this.#x = firstXid
    this.#witness = witness
  }

  get txStatus(): 'I' | 'T' | 'E' {
    return this.#txStatus
  }

  /** Runs the messages of one request. */
  run({ bytes, preambleSyncs = 0, inTransaction = false }: KvRequest): KvRun {
    this.#records = []
    if (inTransaction && !this.#block) {
      const answer = answerBuilder()
      answer.error('40001', 'the transaction is not open any more: the statement did not run')
      return { output: answer.ready(this.#txStatus), records: [], txStatus: this.#txStatus }
    }
    const answers: Uint8Array[] = []
    const queries = frontendQueries(bytes)
    for (const [i, sql] of queries.entries()) {
      const answer = answerBuilder()
      const failed = this.#query(sql, answer)
      const whole = answer.ready(this.#txStatus)
      if (i >= preambleSyncs) answers.push(whole)
      else if (failed) {
        answers.push(whole)
        break
      }
    }
    return { output: Buffer.concat(answers), records: this.#records, txStatus: this.#txStatus }
  }

  /** One Query message: its statements are one transaction unless they say otherwise. True when it failed. */
  #query(sql: string, answer: AnswerBuilder): boolean {
    try {
      for (const statement of sql.split(';').map((one) => one.trim())) {
        if (statement !== '') this.#statement(statement, answer)
      }
      if (!this.#block) this.#commit()
      return false
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      answer.error(error.sqlstate, error.message)
      this.#rollback()
      if (this.#block) this.#txStatus = 'E'
      return true
    }
  }

  #statement(sql: string, answer: AnswerBuilder): void {
    if (OWN.test(sql) && this.#txStatus !== 'E') return this.#own(sql, answer)
    const upper = sql.toUpperCase()
    if (upper === 'ROLLBACK' || upper === 'ABORT') {
      this.#rollback()
      this.#end()
      answer.complete('ROLLBACK')
    } else if (upper === 'COMMIT') {
      const failed = this.#txStatus === 'E'
      if (failed) this.#rollback()
      else this.#commit()
      this.#end()
      answer.complete(failed ? 'ROLLBACK' : 'COMMIT')
    } else if (/^PREPARE TRANSACTION '[^']+'$/.test(upper)) this.#prepare(quoted(sql), answer)
    else if (this.#txStatus === 'E')
      throw new KvError('25P02', 'current transaction is aborted, commands ignored until end of block')
    else if (/^BEGIN\b/.test(upper)) {
      this.#block = true
      this.#txStatus = 'T'
      answer.complete('BEGIN')
    } else if (/^(COMMIT|ROLLBACK) PREPARED '[^']+'$/.test(upper))
      this.#endPrepared(upper.startsWith('COMMIT'), sql, answer)
    else if (/^(SET|RESET|DISCARD|DEALLOCATE)\b/.test(upper)) answer.complete('SET')
    else if (/^SELECT GID FROM PG_PREPARED_XACT\(\) WHERE GID LIKE '[^']+' ORDER BY PREPARED$/.test(upper)) {
      const pattern = like(quoted(sql))
      answer.rows([...this.#store.prepared.keys()].filter((gid) => pattern.test(gid)))
    } else if (upper === 'SELECT GID FROM PG_CATALOG.DTX_COMMITTED')
      answer.rows([...this.#store.dtxCommitted])
    else if (/^INSERT INTO PG_CATALOG\.DTX_COMMITTED VALUES \('[^']+'\)$/.test(upper)) {
      this.#names = quoted(sql)
      this.#change({ op: 'dtx', gid: this.#names })
      answer.complete('INSERT 0 1')
    } else if (/^DELETE FROM PG_CATALOG\.DTX_COMMITTED WHERE GID IN \('[^()]+'\)$/.test(upper)) {
      for (const [, gid] of sql.matchAll(/'([^']*)'/g)) this.#forget(gid ?? '')
      answer.complete('DELETE 1')
    } else this.#own(sql, answer)
  }

  #own(sql: string, answer: AnswerBuilder): void {
    const [verb, key, rest] = words(sql)
    // The coordinator reads and writes its catalog before it resolves anything: no transaction of a client locks those tables.
    if (this.#store.prepared.size > 0 && key !== CATALOG_KEY) this.#witness.besidePrepared(sql)
    if (verb === 'once' && this.#store.lists.get(key)?.includes(rest) === true)
      throw new KvError(
        '23505',
        `duplicate key value violates unique constraint: ${rest} is in ${key} already`,
      )
    if (verb === 'append' || verb === 'once') {
      this.#change({ op: 'append', key, id: rest })
      answer.complete('INSERT 0 1')
    } else if (verb === 'put') {
      this.#change({ op: 'put', key, value: rest })
      answer.complete('UPDATE 1')
    } else if (verb === 'add') {
      this.#change({ op: 'add', key, by: Number(rest) })
      answer.complete('UPDATE 1')
    } else if (verb === 'cas') {
      const [from, to] = rest.split(' ') as [string, string]
      const swaps = this.#store.values.get(key) === from
      if (swaps) this.#change({ op: 'put', key, value: to })
      answer.rows([swaps ? '1' : '0'])
    } else if (verb === 'list') answer.rows([(this.#store.lists.get(key) ?? []).join(' ')])
    else if (verb === 'get') {
      const value = this.#store.values.get(key)
      answer.rows(value === undefined ? [] : [value])
    } else if (verb === 'fail') throw new KvError('22012', 'division by zero')
    else throw new KvError('42601', `the stand-in engine does not know: ${sql.slice(0, 80)}`)
  }

  #prepare(gid: string, answer: AnswerBuilder): void {
    if (this.#txStatus !== 'T') {
      this.#rollback()
      this.#end()
      answer.complete('ROLLBACK')
      return
    }
    if (this.#store.prepared.has(gid)) throw new KvError('42710', `transaction identifier "${gid}" is in use`)
    this.#write({ t: 'prepare', x: this.#x, gid })
    this.#wrote = false
    this.#names = undefined
    this.#x++
    this.#end()
    answer.complete('PREPARE TRANSACTION')
  }

  #endPrepared(commit: boolean, sql: string, answer: AnswerBuilder): void {
    const gid = quoted(sql)
    const tag = `${commit ? 'COMMIT' : 'ROLLBACK'} PREPARED`
    if (this.#block) throw new KvError('25001', `${tag} cannot run inside a transaction block`)
    if (!this.#store.prepared.has(gid)) {
      this.#witness.notPrepared(sql)
      throw new KvError('42704', `prepared transaction with identifier "${gid}" does not exist`)
    }
    this.#needRoom()
    this.#write({ t: commit ? 'commitPrepared' : 'rollbackPrepared', gid })
    answer.complete(tag)
  }

  #change(change: KvChange): void {
    this.#needRoom()
    this.#wrote = true
    this.#write({ t: 'change', x: this.#x, change })
  }

  #forget(gid: string): void {
    this.#witness.forgets(gid)
    this.#change({ op: 'undtx', gid })
  }

  #needRoom(): void {
    if (!this.#witness.hasRoom()) throw new KvError('53100', 'could not extend file: No space left on device')
  }

  #write(record: KvRecord): void {
    this.#records.push(record)
    this.#store.apply(record)
  }

  #commit(): void {
    if (this.#names !== undefined) this.#witness.notPrepared(`COMMIT of ${this.#names}`)
    this.#names = undefined
    if (this.#wrote) this.#write({ t: 'commit', x: this.#x })
    this.#wrote = false
    this.#x++
  }

  #rollback(): void {
    this.#store.endRecovery()
    this.#names = undefined
    this.#wrote = false
    this.#x++
  }

  #end(): void {
    this.#block = false
    this.#txStatus = 'I'
  }
}

/** A pattern of LIKE. */
function like(pattern: string): RegExp {
  const parts = pattern.match(/\\.|./gs) ?? []
  const text = parts.map((part) =>
    part === '%' ? '.*' : part === '_' ? '.' : quoteRegExp(part.at(-1) ?? ''),
  )
  return new RegExp(`^${text.join('')}$`, 's')
}

function quoteRegExp(character: string): string {
  return /\w/.test(character) ? character : `\\${character}`
}

/** The first text in quotes. */
function quoted(sql: string): string {
  return /'([^']*)'/.exec(sql)?.[1] ?? ''
}

function words(sql: string): [string, string, string] {
  const match = /^(\S+)(?:\s+(\S+))?(?:\s+([\s\S]*))?$/.exec(sql)
  return [match?.[1] ?? '', match?.[2] ?? '', match?.[3] ?? '']
}
