/**
 * The cluster as the coordinator knows it, in memory, always equal to what the catalog holds durably: every change goes to the catalog
 * first and shows here when it is durable (I3). Implements the catalog that FTS sees.
 */
import {
  settingsFrom,
  stamped,
  type Content,
  type Dbid,
  type Epoch,
  type HostRow,
  type SegmentRow,
  type Settings,
  type SettingTexts,
} from '@mirabelle/messages'
import type { FtsCatalog, HistoryRow, RowChange } from '@mirabelle/fts'
import { faults } from '@mirabelle/runtime'
import type { CatalogChange, CatalogStore, ClusterSnapshot, Mirroring } from '../catalog/cluster-catalog.ts'

export class Topology implements FtsCatalog {
  readonly clusterId: string
  #mirroring: Mirroring
  #lastDbid: number
  readonly #store: CatalogStore
  #rows: readonly SegmentRow[]
  #hosts: readonly HostRow[]
  #settingTexts: Readonly<Record<string, string>>
  #settings: Settings
  #settingsVersion: number
  #epoch: Epoch
  /** One change at a time, so that memory and catalog cannot cross. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(snapshot: ClusterSnapshot, store: CatalogStore) {
    this.clusterId = snapshot.clusterId
    this.#mirroring = snapshot.mirroring
    this.#lastDbid = snapshot.lastDbid ?? 0
    this.#store = store
    this.#rows = snapshot.rows
    this.#hosts = snapshot.hosts
    this.#settingTexts = snapshot.settings
    this.#settings = settingsFrom(snapshot.settings)
    this.#settingsVersion = snapshot.settingsVersion ?? 1
    this.#epoch = snapshot.epoch
  }

  /** How mirrors are placed. */
  get mirroring(): Mirroring {
    return this.#mirroring
  }
  /** The highest dbid that was ever given away. */
  get lastDbid(): Dbid {
    return Math.max(this.#lastDbid, ...this.#rows.map(({ dbid }) => dbid))
  }
  get epoch(): Epoch {
    return this.#epoch
  }
  get settings(): Settings {
    return this.#settings
  }
  /** What differs from the defaults, as the catalog has it. */
  get settingTexts(): SettingTexts {
    return this.#settingTexts
  }
  /** The same with the stamp by which instances know how new it is. */
  get stampedSettings(): SettingTexts {
    return stamped(this.#settingTexts, this.#epoch, this.#settingsVersion)
  }
  get hosts(): readonly HostRow[] {
    return this.#hosts
  }
  rows(): readonly SegmentRow[] {
    return this.#rows
  }
  row(dbid: Dbid): SegmentRow | undefined {
    return this.#rows.find((row) => row.dbid === dbid)
  }
  /** The acting primary of a content. */
  primary(content: Content): SegmentRow | undefined {
    return this.#rows.find((row) => row.content === content && row.role === 'p')
  }
  /** The acting mirror of a content. */
  mirror(content: Content): SegmentRow | undefined {
    return this.#rows.find((row) => row.content === content && row.role === 'm')
  }
  /** The other half of a pair. */
  peerOf(row: SegmentRow): SegmentRow | undefined {
    const others = this.#rows.filter((other) => other.content === row.content && other.dbid !== row.dbid)
    // A mirror that is being made for a content that has one follows the primary, too.
    return others.find(({ role }) => role === 'p') ?? others[0]
  }
  host(hostname: string): HostRow | undefined {
    return this.#hosts.find((host) => host.hostname === hostname)
  }
  /** 0..N-1 */
  get contents(): Content[] {
    return [...new Set(this.#rows.map((row) => row.content))]
      .filter((content) => content >= 0)
      .sort((a, b) => a - b)
  }

  record(changes: readonly RowChange[], history: readonly HistoryRow[]): Promise<void> {
    return this.change({ rows: changes, history })
  }

  /** Makes a change durable, then visible. */
  change(wanted: CatalogChange): Promise<void> {
    const done = this.#last.then(async () => {
      const settingsVersion = this.#settingsVersion + 1
      const change = {
        ...wanted,
        ...(wanted.settings === undefined ? {} : { settingsVersion }),
        // A dbid that goes must not be given away again.
        ...(wanted.removeDbids === undefined
          ? {}
          : { lastDbid: Math.max(wanted.lastDbid ?? 0, this.lastDbid) }),
      }
      if (faults !== undefined) await faults.at('catalog.change.before')
      await this.#store.change(change)
      if (faults !== undefined) await faults.at('catalog.change.after')
      this.#apply(change)
    })
    this.#last = done.catch(() => undefined) // the caller sees the failure; the next change goes on
    return done
  }

  #apply(change: CatalogChange): void {
    const byDbid = new Map((change.rows ?? []).map((row) => [row.dbid, row]))
    const replaced = new Map((change.replaceRows ?? []).map((row) => [row.dbid, row]))
    const rows = this.#rows
      .filter((row) => !(change.removeDbids ?? []).includes(row.dbid) && !replaced.has(row.dbid))
      .map((row) => ({ ...row, ...byDbid.get(row.dbid) }))
    this.#rows = [...rows, ...replaced.values()].sort((a, b) => a.dbid - b.dbid)
    if (change.epoch !== undefined) this.#epoch = change.epoch
    this.#lastDbid = Math.max(this.lastDbid, change.lastDbid ?? 0, ...(change.removeDbids ?? []))
    this.#mirroring = change.mirroring ?? this.#mirroring
    this.#settingsVersion = change.settingsVersion ?? this.#settingsVersion
    if (change.settings !== undefined) {
      const texts: Record<string, string> = { ...this.#settingTexts }
      for (const [name, value] of Object.entries(change.settings)) {
        if (value === null) delete texts[name]
        else texts[name] = value
      }
      this.#settingTexts = texts
      this.#settings = settingsFrom(texts)
    }
  }
}
