/**
 * Answers what administrators ask of the acting coordinator. Made by the coordinator service, ended with it.
 * Promise: an action that runs already is not begun twice; who asks again gets its results, or `busy`.
 */
import type { FtsProber } from '@mirabelle/fts'
import {
  MirabelleError,
  type ActionResult,
  type Content,
  type Message,
  type Peer,
  type SegmentRow,
} from '@mirabelle/messages'
import type { Dispatcher } from '../dispatcher.ts'
import { startInstances, type AdminSources } from './cluster-admin.ts'
import type { ClusterSettings, SettingsChange } from './cluster-settings.ts'
import { collectState, type StateSources } from './cluster-state.ts'
import { makeMirrors } from './mirrors/make-mirrors.ts'
import { planMirrors } from './mirrors/mirror-plan.ts'
import type { MirrorSources } from './mirrors/mirror-sources.ts'
import { removeMirrors } from './mirrors/remove-mirrors.ts'
import { reviveContents } from './mirrors/revive.ts'
import { WorkList } from './mirrors/work-list.ts'
import { drainHost, rebalance, type RebalanceSources } from './rebalance.ts'
import { initStandby, removeStandby, resyncStandby, type StandbySources } from './standby-admin.ts'
import { planStandby } from './standby-plan.ts'
import { StandbyWork } from './standby-work.ts'
import { stopHost } from './stop-host.ts'

export interface AdministrationOptions {
  readonly admin: () => AdminSources
  readonly state: () => StateSources
  readonly fts: FtsProber
  readonly settings: ClusterSettings
  readonly dispatcher: Dispatcher
  /** Tells the own instance who its standby is; undefined where that cannot be changed. */
  readonly setPeer: ((peer: Peer | null) => Promise<void>) | undefined
  /** The roles of a content have changed: its lane has another end. */
  readonly aim: (content: Content) => void
  /** Rows have come or gone. */
  readonly rowsChanged: () => void
}

export class Administration {
  readonly #options: AdministrationOptions
  #rebalancing: Promise<ActionResult[]> | undefined
  readonly #standbyWork = new StandbyWork()
  readonly #work = new WorkList()

  constructor(options: AdministrationOptions) {
    this.#options = options
  }

  /** The answer to an administrative message; undefined when it is none. */
  answer(message: Message): Promise<Message> | undefined {
    const { admin, state, fts } = this.#options
    switch (message.type) {
      case 'cluster.state':
        return collectState(state()).then((found) => ({ type: 'cluster.stateIs', state: found }))
      case 'cluster.start':
        return this.#done(
          startInstances(admin()).then((results) => {
            void fts.requestScan().catch(() => undefined) // the prober may be stopping
            return results
          }),
        )
      case 'cluster.rebalance':
        this.#rebalancing ??= rebalance(message, this.#switching).finally(() => {
          this.#rebalancing = undefined
        })
        return this.#done(this.#rebalancing)
      case 'cluster.catalog': {
        const { topology } = admin()
        return Promise.resolve({
          type: 'cluster.catalogIs',
          rows: topology.rows(),
          mirroring: topology.mirroring,
        })
      }
      case 'mirrors.plan':
        return planMirrors(message, admin()).then((steps) => ({ type: 'mirrors.planned', steps }))
      case 'mirrors.make':
        return this.#done(makeMirrors(message, this.#mirrors))
      case 'mirrors.remove':
        return this.#done(removeMirrors(this.#mirrors))
      case 'cluster.revive':
        return this.#done(reviveContents(message, this.#switching))
      case 'host.drain':
        return this.#done(drainHost(message, this.#switching))
      case 'host.stop':
        return this.#done(stopHost(message, this.#mirrors))
      case 'standby.plan':
        return planStandby(message, admin())
      case 'standby.init':
        return this.#standby(initOf(message.row), (sources) => initStandby(message.row, sources))
      case 'standby.remove':
        return this.#standby('standby remove', removeStandby)
      case 'standby.resync':
        return this.#standby(`standby resync (${message.mode})`, (sources) =>
          resyncStandby(message.mode, sources),
        )
      case 'cluster.config':
        return this.#config(message.change)
      case 'cluster.probe':
        return fts.requestScan().then(() => ({ type: 'ok' }))
      default:
        return undefined
    }
  }

  get #mirrors(): MirrorSources {
    return { ...this.#options.admin(), work: this.#work, rowsChanged: this.#options.rowsChanged }
  }
  get #switching(): RebalanceSources {
    const { admin, dispatcher, aim } = this.#options
    return { ...admin(), work: this.#work, dispatcher, aim }
  }

  async #done(results: Promise<readonly ActionResult[]>): Promise<Message> {
    return { type: 'cluster.done', results: await results }
  }

  async #config(change: SettingsChange): Promise<Message> {
    const { settings } = this.#options
    const results = await settings.change(change)
    return { type: 'cluster.configIs', settings: settings.rows(), results }
  }

  #standby(what: string, work: (sources: StandbySources) => Promise<ActionResult[]>): Promise<Message> {
    const { setPeer = cannotSetPeer, admin, state } = this.#options
    const sources: StandbySources = { ...admin(), work: this.#work, ownStatus: state().ownStatus, setPeer }
    return this.#done(this.#standbyWork.do(what, () => work(sources)))
  }
}

/** Another place is another piece of work. */
function initOf({ dbid, hostname, port, datadir }: SegmentRow): string {
  return `standby init of dbid ${dbid} on ${hostname}:${port}, folder ${datadir}`
}

function cannotSetPeer(): Promise<void> {
  return Promise.reject(new MirabelleError('internal', 'the own instance cannot be told of a standby'))
}
