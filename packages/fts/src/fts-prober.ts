/**
 * The FTS prober: started by the acting coordinator when its catalog is open, ended by its stop() or when a segment has promised a
 * higher epoch. It holds one actor per content and passes on what it hears; contents never wait for each other.
 */
import { COORDINATOR_CONTENT, MirabelleError, type Content } from '@mirabelle/messages'
import type { Timer } from '@mirabelle/runtime'
import { FtsContentActor } from './fts-content.actor.ts'
import type { FtsNotice, FtsProber, FtsProberOptions } from './fts-ports.ts'

/** Makes a prober; it does nothing before start(). */
export function createFtsProber(options: FtsProberOptions): FtsProber {
  const { catalog, ports, settings } = options
  const actors = new Map<Content, FtsContentActor>()
  const ending: Promise<void>[] = []
  let running = false
  let refresh: Timer | null = null

  /** One actor for each content that the catalog has, none for others. */
  function reconcile(): void {
    const contents = new Set(catalog.rows().map((row) => row.content))
    contents.delete(COORDINATOR_CONTENT)
    for (const [content, actor] of actors) {
      if (contents.has(content)) continue
      actors.delete(content)
      ending.push(actor.stop())
    }
    for (const content of contents) {
      if (actors.has(content)) continue
      const actor = new FtsContentActor(content, options, superseded)
      actors.set(content, actor)
      actor.look()
    }
  }

  function reconcileAgain(): void {
    if (!running) return
    reconcile()
    refresh = ports.clock.setTimer(settings().gp_fts_probe_interval, reconcileAgain)
  }

  function superseded(reason: string): void {
    if (!running) return
    ports.log.error({ actor: 'fts' }, `Another coordinator has taken over: ${reason}.`)
    halt()
    options.onSuperseded(reason)
  }

  function halt(): void {
    running = false
    refresh?.clear()
    for (const actor of actors.values()) ending.push(actor.stop())
  }

  function notRunning(): MirabelleError {
    return new MirabelleError('not.ready', 'FTS does not run on this coordinator')
  }

  return {
    start() {
      if (running) return
      running = true
      actors.clear()
      reconcileAgain()
    },
    async stop() {
      if (running) halt()
      await Promise.all(ending.splice(0))
    },
    async requestScan() {
      if (!running) throw notRunning()
      reconcile()
      await Promise.all(Array.from(actors.values(), async (actor) => actor.freshCycle()))
    },
    async requestProbe(content) {
      if (!running) throw notRunning()
      reconcile()
      const actor = actors.get(content)
      if (actor === undefined) throw new MirabelleError('wrong.content', `there is no content ${content}`)
      await actor.freshCycle()
    },
    notify(notice) {
      if (!running) return
      const row = catalog.rows().find(({ dbid }) => dbid === notice.dbid)
      if (row === undefined || row.content === COORDINATOR_CONTENT) return
      reconcile()
      const actor = actors.get(row.content)
      // What is recorded down has nothing left to tell; its primary says when it is back.
      if (actor === undefined || (row.role === 'm' && row.status === 'd')) return
      tell(actor, notice, row.role === 'p' ? 'primary' : 'mirror')
    },
    async hold(content) {
      const actor = actors.get(content)
      if (!running || actor === undefined) return () => {}
      return actor.hold()
    },
    contentState(content) {
      return actors.get(content)?.state()
    },
  }
}

function tell(actor: FtsContentActor, notice: FtsNotice, of: 'primary' | 'mirror'): void {
  switch (notice.kind) {
    case 'death':
      actor.death(of)
      break
    case 'connection-silent':
      actor.trouble(of, true)
      break
    case 'connection-lost':
    case 'dispatch-failed':
      actor.trouble(of, false)
      break
  }
}
