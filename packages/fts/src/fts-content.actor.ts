/**
 * Runs the machine of one content: started by the prober for each content of the catalog, ended by its stop(). It performs what the
 * machine asks for, one thing at a time, feeds the results back, and decides when the next cycle begins. It promises that nothing is
 * sent or recorded after stop(), and that a slow content keeps nobody but itself waiting.
 */
import { MirabelleError, isMirabelleError, type Content, type SegmentRow } from '@mirabelle/messages'
import { createDecider, type Decider, type Logger, type Timer, faults } from '@mirabelle/runtime'
import { adviceFor } from './fts-advice.ts'
import { MIRROR_DEATH_LOOKS, ftsTimes, type FtsEffect, type FtsEvent } from './fts-content-model.ts'
import { ftsContentMachine } from './fts-content.machine.ts'
import { pairOf, type CatalogRecord, type Pair } from './fts-pair.ts'
import type { FtsContentState, FtsProberOptions, FtsReply } from './fts-ports.ts'
import { Fencer } from './fencer.ts'
import { recordName } from './record-name.ts'
import { routineAtDebug } from './routine-log.ts'
import { Waiters } from './waiters.ts'

/** Shortest time between the starts of two cycles that were asked for by notices, ms: a dispatcher that keeps failing must not flood a segment. */
const NOTICE_GAP_MS = 100
const DEFAULT_RECOVERY_STALL_MS = 20_000

/** What has happened to the pair since the last cycle began. */
interface Notices {
  primaryDead: boolean
  mirrorDead: boolean
  mirrorLooks: number
  primarySilent: boolean
}

const noNotices = (): Notices => ({
  primaryDead: false,
  mirrorDead: false,
  mirrorLooks: 0,
  primarySilent: false,
})

export class FtsContentActor {
  readonly content: Content
  readonly #options: FtsProberOptions
  readonly #onSuperseded: (reason: string) => void
  readonly #log: Logger
  readonly #decider: Decider<typeof ftsContentMachine>
  #running = false
  #stopped = false
  #holds = 0
  /** Number of the message or record under way; results of others are ignored. */
  #attempt = 0
  #notices = noNotices()
  #noticed = false
  #startedAtMs = Number.NEGATIVE_INFINITY
  #sinceMs: number
  #next: Timer | null = null
  #nextAtMs = 0
  #retry: Timer | null = null
  #recording: Promise<void> | null = null
  readonly #fencer: Fencer
  /** Who waits for the cycle that runs, for the one after it, and for no cycle running. */
  #inThisCycle = new Waiters()
  #inNextCycle = new Waiters()
  #untilIdle = new Waiters()

  constructor(content: Content, options: FtsProberOptions, onSuperseded: (reason: string) => void) {
    this.content = content
    this.#options = options
    this.#onSuperseded = onSuperseded
    this.#log = options.ports.log.child({ actor: 'fts', content })
    this.#fencer = new Fencer(options.transport, this.#log)
    this.#sinceMs = options.ports.clock.now()
    this.#decider = createDecider(ftsContentMachine, {
      log: routineAtDebug(this.#log),
      subject: {},
      input: { content },
      facts: ({ context }) => ({ dbid: context.pair?.primary.dbid }),
    })
  }

  /** A cycle as soon as possible; none is added to one that is queued. */
  look(): void {
    this.#schedule(0)
  }

  /** Resolves at the end of a cycle that starts after this call; calls before its start share it. A held content is passed over. */
  async freshCycle(): Promise<void> {
    if (this.#holds > 0) return
    const done = this.#inNextCycle.wait()
    if (!this.#running) this.look()
    await done
  }

  /** The process of one of the pair is certainly gone. */
  death(of: 'primary' | 'mirror'): void {
    const event: FtsEvent = { type: 'DEATH', of }
    if (this.#running && this.#decider.snapshot.can(event)) {
      this.#dispatch(event)
      return
    }
    if (of === 'primary') this.#notices.primaryDead = true
    else {
      this.#notices.mirrorDead = true
      this.#notices.mirrorLooks = MIRROR_DEATH_LOOKS
    }
    this.#noticed = true
    if (!this.#running) this.look()
  }

  /** A connection to one of the pair ended or fell silent, or a statement could not be sent. */
  trouble(of: 'primary' | 'mirror', silent: boolean): void {
    if (of === 'primary') this.#notices.primarySilent ||= silent
    else {
      const settings = this.#options.settings()
      const watchMs = settings.wal_sender_timeout + settings.gp_fts_mark_mirror_down_grace_period
      this.#notices.mirrorLooks = Math.max(
        this.#notices.mirrorLooks,
        Math.ceil(watchMs / ftsTimes.mirrorSuspectMs) + 1,
      )
    }
    this.#noticed = true
    if (!this.#running) this.#schedule(this.#noticeWaitMs())
  }

  /** Resolves when no cycle runs; none starts until the function it gives is called. */
  async hold(): Promise<() => void> {
    this.#holds += 1
    if (this.#running) await this.#untilIdle.wait()
    let held = true
    const primary = this.#pair()?.primary.dbid
    return () => {
      if (!held) return
      held = false
      this.#holds -= 1
      if (this.#holds > 0) return
      if (this.#pair()?.primary.dbid !== primary) {
        // What was heard is about a process that is not the primary any more.
        this.#notices = noNotices()
        this.#noticed = false
      }
      this.look()
    }
  }

  /** What is known of the content. */
  state(): FtsContentState {
    const { health, pair, lastReply } = this.#decider.context
    return {
      content: this.content,
      health,
      machineState: this.#decider.state,
      primaryDbid: pair?.primary.dbid ?? 0,
      sinceMs: this.#sinceMs,
      lastReply,
      advice: adviceFor(health, this.content, pair),
    }
  }

  /** Ends. Resolves when a record that is under way is settled. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#running = false
    this.#attempt += 1
    this.#next?.clear()
    this.#retry?.clear()
    const reason = new MirabelleError('not.ready', `FTS of content ${this.content} was stopped`)
    this.#inThisCycle.reject(reason)
    this.#inNextCycle.reject(reason)
    this.#untilIdle.resolve()
    await this.#recording
  }

  #schedule(inMs: number): void {
    if (this.#stopped || this.#running) return
    const { clock } = this.#options.ports
    const atMs = clock.monotonic() + inMs
    if (this.#next !== null && this.#nextAtMs <= atMs) return
    this.#next?.clear()
    this.#nextAtMs = atMs
    this.#next = clock.setTimer(inMs, () => this.#begin())
  }

  #noticeWaitMs(): number {
    return Math.max(0, this.#startedAtMs + NOTICE_GAP_MS - this.#options.ports.clock.monotonic())
  }

  #begin(): void {
    this.#next = null
    if (this.#stopped || this.#running) return
    if (this.#holds > 0) {
      // The hold began after they had asked.
      this.#inNextCycle.resolve()
      return
    }
    this.#startedAtMs = this.#options.ports.clock.monotonic()
    this.#inThisCycle = this.#inNextCycle
    this.#inNextCycle = new Waiters()
    const pair = this.#pair()
    if (pair === undefined) {
      this.#log.error(
        {},
        `content ${this.content}: the catalog does not name one primary and at most one mirror`,
      )
      this.#inThisCycle.resolve()
      this.#schedule(this.#options.settings().gp_fts_probe_interval)
      return
    }
    const settings = this.#options.settings()
    const notices = this.#notices
    this.#notices = noNotices()
    this.#noticed = false
    this.#running = true
    this.#dispatch({
      type: 'CYCLE',
      pair,
      limits: {
        retries: settings.gp_fts_probe_retries,
        probeTimeoutMs: settings.gp_fts_probe_timeout,
        recoveryStallMs: this.#options.recoveryStallMs ?? DEFAULT_RECOVERY_STALL_MS,
        shutdownWhenMirrorless: settings.mirrorless_policy === 'shutdown',
      },
      ...notices,
    })
  }

  #end(): void {
    this.#running = false
    this.#inThisCycle.resolve()
    this.#untilIdle.resolve()
    const { recheckMs } = this.#decider.context
    if (this.#notices.primaryDead || this.#notices.mirrorDead || this.#inNextCycle.waiting) this.#schedule(0)
    else if (this.#noticed) this.#schedule(this.#noticeWaitMs())
    else this.#schedule(recheckMs ?? this.#options.settings().gp_fts_probe_interval)
  }

  #pair(): Pair | undefined {
    return pairOf(this.#options.catalog.rows(), this.content)
  }

  #dispatch(event: FtsEvent): void {
    const { health } = this.#decider.context
    const effects = this.#decider.dispatch(event)
    if (this.#decider.context.health !== health) {
      this.#sinceMs = this.#options.ports.clock.now()
      this.#options.onHealthChange?.(this.state())
    }
    for (const effect of effects as unknown as FtsEffect[]) this.#perform(effect)
    if (this.#decider.matches('idle') && !this.#stopped) this.#end()
  }

  #perform(effect: FtsEffect): void {
    const { transport, ports } = this.#options
    switch (effect.type) {
      case 'sendProbe':
        this.#send(effect.params, async (row, timeoutMs) => transport.probe(row, timeoutMs))
        break
      case 'sendPromote':
        this.#send(effect.params, async (row, timeoutMs) => transport.promote(row, timeoutMs))
        break
      case 'sendSyncRepOff':
        this.#send(effect.params, async (row, timeoutMs) => transport.syncRepOff(row, timeoutMs))
        break
      case 'record':
        this.#record(effect.params)
        break
      case 'fence':
        if (effect.params.row !== null) void this.#fencer.fence(effect.params.row)
        break
      case 'startRetryTimer':
        this.#retry = ports.clock.setTimer(effect.params.delayMs, () => this.#dispatch({ type: 'RETRY_DUE' }))
        break
      case 'clearRetryTimer':
        this.#retry?.clear()
        this.#retry = null
        break
      case 'askForShutdown': {
        const { dbid } = effect.params.row
        this.#options.onShutdownNeeded(
          this.content,
          `content ${this.content} (dbid ${dbid}) is down and has no mirror`,
        )
        break
      }
      case 'reportSuperseded':
        this.#onSuperseded(
          `dbid ${effect.params.row.dbid} (content ${this.content}) has promised a higher epoch`,
        )
        break
    }
  }

  #send(
    { row, timeoutMs }: { row: SegmentRow; timeoutMs: number },
    ask: (row: SegmentRow, timeoutMs: number) => Promise<FtsReply>,
  ): void {
    const attempt = ++this.#attempt
    const { clock } = this.#options.ports
    const sentAtMs = clock.monotonic()
    const then = (result: (pair: Pair) => FtsEvent): void => {
      if (attempt !== this.#attempt || this.#stopped) return
      const pair = this.#pair()
      this.#dispatch(pair !== undefined && this.#isSamePair(pair) ? result(pair) : { type: 'PAIR_CHANGED' })
    }
    ask(row, timeoutMs).then(
      (reply) => then((pair) => ({ type: 'ANSWERED', reply, pair, atMs: clock.monotonic() })),
      (error: unknown) => {
        const code = isMirabelleError(error) ? error.code : 'internal'
        if (code === 'internal')
          this.#log.error({ dbid: row.dbid, err: error }, 'An attempt failed in an unknown way.')
        else if (attempt === this.#attempt)
          this.#log.info({ dbid: row.dbid, code, timeoutMs }, `No answer: ${messageOf(error)}`)
        const ownStall = clock.monotonic() - sentAtMs > timeoutMs + ftsTimes.ownStallMs
        then((pair) => ({ type: 'FAILED', code, pair, ownStall }))
      },
    )
  }

  #isSamePair({ primary, mirror }: Pair): boolean {
    const known = this.#decider.context.pair
    return known?.primary.dbid === primary.dbid && known.mirror?.dbid === mirror?.dbid
  }

  #record({ changes, history }: CatalogRecord): void {
    const { catalog, onTopologyChange } = this.#options
    const what = recordName(changes, this.#decider.context.pair)
    const about = { content: this.content }
    const recorded = async (): Promise<void> => {
      if (faults !== undefined) await faults.at(`fts.${what}.before`, about)
      await catalog.record(changes, history)
      if (faults !== undefined) await faults.at(`fts.${what}.after`, about)
    }
    this.#recording = recorded().then(
      () => {
        this.#recording = null
        if (this.#stopped) return
        const pair = this.#pair()
        if (pair === undefined) throw new Error(`content ${this.content}: no pair after a durable record`)
        for (const { dbid, description } of history) this.#log.info({ dbid }, description)
        if (changes.length > 0) onTopologyChange(this.content)
        this.#dispatch({ type: 'RECORDED', pair })
      },
      (error: unknown) => {
        this.#recording = null
        this.#log.error({ err: error, changes }, 'The catalog could not be made durable.')
        if (!this.#stopped) this.#dispatch({ type: 'RECORD_FAILED' })
      },
    )
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
