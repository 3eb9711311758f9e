/**
 * Runs batches of requests on the backend: feeds PostgreSQL the bytes of one request after the other, cuts its answers
 * apart at each ReadyForQuery, and notes the WAL flush position there.
 *
 * Promises that a request cannot disturb the next one: PostgreSQL is never given bytes of a request before it has answered
 * the one before, and when it waits for bytes that a request does not have (COPY without data, no Sync) it gets the message
 * that ends the wait. What a client may say runs under the identity lock, the preamble before it without.
 */
import type { Lsn } from '@mirabelle/messages'
import { WAL_PAGE_BYTES } from '../layout.ts'
import { Field, type SharedState } from '../shared/shared-state.ts'
import type { WireRequest } from '../shared/worker-protocol.ts'
import { Admission, IDLE } from './admission.ts'
import { BackendScanner } from './backend-scanner.ts'
import { syncEnds } from './frontend-cuts.ts'
import { IdentityLock } from './identity-lock.ts'
import type { OutputStream } from './output-stream.ts'
import type { PostgresModule } from './postgres-module.ts'
import type { Reporter } from './reporter.ts'

/** Exit status by which PGlite signals that PostgreSQL threw an ERROR. */
const ERROR_LONGJMP = 100
const INITIAL_OUTPUT_BYTES = 64 * 1024
const MAX_KEPT_OUTPUT_BYTES = 1024 * 1024
const COPY_FAIL_REASON = new TextEncoder().encode('the request holds no further COPY data\0')
const COPY_FAIL = Uint8Array.from([0x66, 0, 0, 0, COPY_FAIL_REASON.length + 4, ...COPY_FAIL_REASON])
const SYNC = Uint8Array.from([0x53, 0, 0, 0, 4])
const RM_XLOG_ID = 0
const XLOG_NOOP = 0x20
/** All that PostgreSQL says to a ROLLBACK, or to the COMMIT of a transaction that has failed. */
const ROLLED_BACK = Buffer.from('C\0\0\0\x0dROLLBACK\0Z\0\0\0\x05I', 'latin1')

export class ProtocolRunner {
  readonly #module: PostgresModule
  readonly #state: SharedState
  readonly #reporter: Reporter
  readonly #stream: OutputStream
  readonly #scanner: BackendScanner
  readonly #identity: IdentityLock
  readonly #admission = new Admission()

  #requests: readonly WireRequest[] = []
  #bytes = new Uint8Array(0)
  #index = 0
  /** Where the bytes for PostgreSQL come from: the batch, or a Sync in place of a request that may not run. */
  #source: Uint8Array = SYNC
  /** What the request is answered that may not run. */
  #refused: Uint8Array | undefined
  #input = 0
  #inputEnd = 0
  /** Ends of the preamble's parts that PostgreSQL was not given yet. */
  #preamble: number[] = []
  #inPreamble = false
  #syncsLeft = 0
  #status = IDLE
  /** The request may have committed something. */
  #mayCommit = true
  /** Flush position of the last answer. */
  #recordEnd: Lsn = 0
  /** Records of WAL at the last answer. */
  #recordsSeen = 0
  #failed = false
  #copyIn = false
  #copyFailed = false
  #protocolError: string | undefined
  #interrupted = false
  /** Answered in full, but PostgreSQL has not read all of it: the rest of a COPY that failed. */
  #draining = false

  #output = new Uint8Array(INITIAL_OUTPUT_BYTES)
  #outputEnd = 0

  constructor(module: PostgresModule, state: SharedState, reporter: Reporter, stream: OutputStream) {
    this.#module = module
    this.#state = state
    this.#reporter = reporter
    this.#stream = stream
    this.#identity = new IdentityLock(module)
    let chunkStart = 0
    let chunk = new Uint8Array(0)
    this.#scanner = new BackendScanner({
      ready: (end, status) => {
        this.#append(chunk.subarray(chunkStart, end))
        chunkStart = end
        this.#ready(status)
      },
      error: () => {
        this.#failed = true
        this.#copyIn = false
      },
      copyIn: () => {
        this.#copyIn = true
      },
    })
    const read = module.addFunction((pointer, max) => this.#read(pointer, max), 'ipi')
    const write = module.addFunction((pointer, length) => {
      chunk = module.HEAPU8.subarray(pointer, pointer + length) as Uint8Array<ArrayBuffer>
      chunkStart = 0
      this.#scanner.feed(chunk)
      this.#append(chunk.subarray(chunkStart))
      this.interruptIfCancelled()
      return length
    }, 'ipi')
    module._pgl_set_rw_cbs(read, write)
  }

  /** Runs a batch. Throws when the backend is gone. */
  run(requests: readonly WireRequest[], bytes: Uint8Array): void {
    this.#requests = requests
    this.#bytes = bytes as Uint8Array<ArrayBuffer>
    this.#index = -1
    this.#beginNext()
    while (this.#index < requests.length) {
      const index = this.#index
      const left = this.#syncsLeft
      const more = this.#hasUnread()
      if (this.#draining) {
        if (more) this.#turn()
        else this.#finish(requests[index] as WireRequest)
        continue
      }
      // With another request to come, PostgreSQL answers this one at the top of its loop and reads on.
      if (more || index < requests.length - 1) this.#turn()
      else {
        this.#module._PostgresSendReadyForQueryIfNecessary()
        this.#module._pgl_pq_flush()
        // Not answered and nothing left to read: let it read, which brings it back in step.
        if (this.#index === index && this.#syncsLeft === left) this.#turn()
      }
    }
    this.#state.set(Field.running, 0)
    this.#reporter.report(true)
    if (this.#output.length > MAX_KEPT_OUTPUT_BYTES) this.#output = new Uint8Array(INITIAL_OUTPUT_BYTES)
  }

  /** Sets PostgreSQL's own cancel flags when the running request is to be cancelled. Called wherever PostgreSQL calls out. */
  interruptIfCancelled(): void {
    const running = this.#requests[this.#index]
    if (this.#draining || running === undefined || this.#state.get(Field.cancel) !== running.seq) return
    this.#setInterrupt(1)
    this.#interrupted = true
  }

  #hasUnread(): boolean {
    return this.#input < this.#inputEnd || this.#module._pq_buffer_remaining_data() > 0
  }

  #turn(): void {
    const stack = this.#module.stackSave()
    try {
      this.#module._PostgresMainLoopOnce()
    } catch (error) {
      if ((error as { status?: unknown }).status !== ERROR_LONGJMP) throw error
      this.#module.stackRestore(stack)
      this.#module._PostgresMainLongJmp()
    }
  }

  #beginNext(): void {
    this.#index++
    this.#outputEnd = 0
    this.#failed = false
    this.#copyIn = false
    this.#copyFailed = false
    this.#protocolError = undefined
    this.#draining = false
    if (this.#interrupted) this.#setInterrupt(0)
    this.#interrupted = false
    const request = this.#requests[this.#index]
    if (request === undefined) return
    this.#parkWhenHalted()
    this.#state.set(Field.runningWalWrites, this.#state.get(Field.walWrites))
    this.#state.set(Field.running, request.seq)
    this.#refused = this.#admission.refuse(request, this.#status)
    this.#mayCommit = this.#status === IDLE || request.preambleSyncs > 0 || request.streaming
    if (this.#refused !== undefined) {
      this.#source = SYNC
      this.#input = 0
      this.#inputEnd = SYNC.length
      this.#syncsLeft = 1
      this.#inPreamble = false
      return
    }
    this.#source = this.#bytes
    this.#input = request.start
    this.#inputEnd = request.end
    this.#syncsLeft = request.syncs
    this.#preamble = []
    this.#inPreamble = request.preambleSyncs > 0
    if (this.#inPreamble) {
      const ends = syncEnds(this.#bytes.subarray(request.start, request.end), request.preambleSyncs)
      // The main thread has counted them, so they are there.
      if (ends === undefined)
        throw new Error(`request ${request.seq} has fewer than ${request.preambleSyncs} preamble parts`)
      this.#preamble = ends.map((end) => request.start + end)
      this.#inputEnd = this.#preamble.shift() as number
    }
  }

  #ready(status: number): void {
    const request = this.#requests[this.#index]
    // PostgreSQL answers nothing that was not asked; what is left over from bringing it back in step is dropped.
    if (request === undefined) return
    this.#status = status
    if (this.#draining) return
    this.#admission.answered(request, status, this.#failed)
    this.#syncsLeft--
    if (this.#inPreamble && this.#syncsLeft > 0 && !this.#failed) {
      this.#outputEnd = 0
      const next = this.#preamble.shift()
      this.#inPreamble = next !== undefined
      this.#inputEnd = next ?? request.end
      return
    }
    if (this.#syncsLeft > 0 && !this.#inPreamble) return
    if (this.#hasUnread()) {
      // PostgreSQL answers a COPY that fails before it has read its data, and may hold half a message of it. It skips the rest when it
      // reads on; given the next request instead it would take that for the other half.
      this.#draining = true
      this.#setInterrupt(0)
    } else this.#finish(request)
  }

  #finish(request: WireRequest): void {
    const output = this.#refused?.slice() ?? this.#output.slice(0, this.#outputEnd)
    const lsn = this.#flushed(this.#mayCommit || !ROLLED_BACK.equals(output))
    if (request.mustSucceed && (this.#failed || this.#refused !== undefined))
      throw new Error(`a request that must succeed has failed: ${new TextDecoder().decode(output)}`)
    this.#reporter.finished(request.seq, lsn, this.#status, output, this.#protocolError)
    this.#beginNext()
  }

  /**
   * WAL flush position, always the end of a record, and behind everything that is committed. PostgreSQL leaves both to its walwriter, which is not there:
   * - When it is short of WAL buffers, or writes a page of a table, it flushes whole pages of WAL, so that its flush position is within a record as often as
   *   not. A mirror has no use for half a record: it would never acknowledge what the answer waits for.
   * - A function can turn synchronous_commit off for the transaction that calls it, whatever is set outside.
   *
   * What is undone may stay in memory: nobody has to wait for it.
   */
  #flushed(mayCommit: boolean): Lsn {
    const lsn = Number(this.#module._GetFlushRecPtr(0))
    const records = this.#walRecords()
    const isLeftInMemory =
      lsn === this.#recordEnd && records !== this.#recordsSeen && this.#status === IDLE && mayCommit
    const mayBeHalf = lsn !== this.#recordEnd && lsn % WAL_PAGE_BYTES === 0
    this.#recordEnd = lsn
    this.#recordsSeen = records
    if (isLeftInMemory || mayBeHalf) this.#reporter.hold(() => this.#flushAll())
    return this.#recordEnd
  }

  /** How many records of WAL PostgreSQL has inserted, its low 32 bits. */
  #walRecords(): number {
    const { HEAPU8, _pgWalUsage: at } = this.#module
    return new DataView(HEAPU8.buffer).getInt32(at, true)
  }

  /** A record that does nothing, as the end up to which to flush: PostgreSQL does not export where its last record ends. */
  #flushAll(): void {
    this.#module._XLogBeginInsert()
    this.#module._XLogFlush(this.#module._XLogInsert(RM_XLOG_ID, XLOG_NOOP))
    this.#recordEnd = Number(this.#module._GetFlushRecPtr(0))
    this.#recordsSeen = this.#walRecords()
  }

  #append(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    const end = this.#outputEnd + bytes.length
    if (end > this.#output.length) {
      const larger = new Uint8Array(Math.max(end, this.#output.length * 2))
      larger.set(this.#output.subarray(0, this.#outputEnd))
      this.#output = larger
    }
    this.#output.set(bytes, this.#outputEnd)
    this.#outputEnd = end
    const request = this.#requests[this.#index]
    if (request?.streaming === true && !this.#inPreamble && end >= this.#stream.pieceBytes) {
      this.#outputEnd = 0
      this.#reporter.report()
      this.#stream.send(request.seq, this.#output.slice(0, end))
    }
  }

  #read(pointer: number, max: number): number {
    let source = this.#source.subarray(this.#input, this.#inputEnd)
    // Here rather than once a request: a transaction that ends goes back to the state in which it began.
    if (this.#inPreamble) this.#identity.open()
    else this.#identity.close()
    if (source.length > 0) this.#input += Math.min(source.length, max)
    else {
      // Nothing left, yet PostgreSQL reads: the request is short of something.
      const copy = this.#copyIn
      source = copy ? COPY_FAIL : SYNC
      this.#copyIn = false
      // COPY swallows a Sync that comes in place of its data, so after a failed COPY the missing Sync is nobody's fault.
      if (copy) this.#copyFailed = true
      else if (!this.#copyFailed)
        this.#protocolError = 'the bytes led to fewer ReadyForQuery answers than announced'
    }
    const length = Math.min(source.length, max)
    this.#module.HEAPU8.set(source.subarray(0, length), pointer)
    return length
  }

  #setInterrupt(value: 0 | 1): void {
    // The flags are C ints, little-endian, and only ever 0 or 1.
    this.#module.HEAPU8[this.#module._InterruptPending] = value
    this.#module.HEAPU8[this.#module._QueryCancelPending] = value
  }

  /** The main thread is about to terminate this worker: nothing further may begin. */
  #parkWhenHalted(): void {
    if (this.#state.get(Field.halt) === 0) return
    this.#state.set(Field.running, 0)
    this.#state.waitWhile(Field.halt, 1)
  }
}
