/** The commands that are killed: how the cluster has to be for each, what is run, and what must be so when it has ended well. */
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { inSync, type CatalogRow } from '../cluster/test-cluster.ts'
import type { PointsOf, Victim } from './draw.ts'
import {
  activatePoints,
  addPoints,
  copyPoints,
  movePoints,
  recoverPoints,
  removePoints,
  standbyInitPoints,
  standbyRemovePoints,
  standbyResyncPoints,
  switchoverPoints,
} from './points.ts'
import type { World } from './world.ts'

/** What a command is about to do. */
export interface Situation {
  readonly args: readonly string[]
  /** Hosts whose agents have work. */
  readonly hosts: readonly string[]
  /** dbids, as far as they exist already. */
  readonly instances: { readonly [V in Exclude<Victim, 'cli' | 'agent'>]?: number }
  /** What is missing when it has ended well; empty when nothing is. */
  readonly missing: () => Promise<string[]>
}

export interface MatrixCommand {
  readonly points: PointsOf
  readonly prepare: (world: World) => Promise<Situation>
  /** It is for a cluster whose coordinator is dead. */
  readonly withoutCoordinator?: boolean
}

const unless = (ok: boolean, sentence: string): string[] => (ok ? [] : [sentence])
const segments = (rows: readonly CatalogRow[]): CatalogRow[] => rows.filter(({ content }) => content >= 0)

/** A copy is lost and comes back: the mirror of a content, or the primary, whose mirror has taken over. */
function recovery(mode: readonly string[], lost: 'p' | 'm', points: PointsOf): MatrixCommand {
  return {
    points,
    prepare: async (world) => {
      await ensureMirrors(world)
      const [primary, mirror] = [await world.primary(0), await world.mirror(0)]
      const [target, source] = lost === 'm' ? [mirror, primary] : [primary, mirror]
      await world.kill(target.dbid)
      await world.waitForRows('the record of the loss', (rows) =>
        rows.some(({ dbid, status, role }) => dbid === target.dbid && status === 'd' && role === 'm'),
      )
      await world.serves()
      return {
        args: ['recover', ...mode],
        hosts: [target.hostname, source.hostname],
        instances: { target: target.dbid, source: source.dbid, coordinator: await world.coordinator() },
        missing: async () => unless(inSync(await world.rows()), 'a pair is not in sync'),
      }
    },
  }
}

async function ensureMirrors(world: World): Promise<void> {
  if (segments(await world.rows()).some(({ role }) => role === 'm')) return
  await (await world.admin()).addMirrors()
  await world.settle()
}

async function ensureStandby(world: World): Promise<CatalogRow> {
  if ((await world.standby()) === undefined) await (await world.admin()).initStandby()
  await world.cluster.lookAgain()
  const standby = await world.standby()
  if (standby === undefined) throw new Error('the cluster has no standby coordinator')
  return standby
}

const rebalance: MatrixCommand = {
  points: switchoverPoints,
  prepare: async (world) => {
    await ensureMirrors(world)
    const swapped = (rows: readonly CatalogRow[]) =>
      segments(rows).filter((row) => row.role !== row.preferred_role)
    if (swapped(await world.rows()).length === 0) {
      await world.kill((await world.primary(0)).dbid)
      await world.waitForRows('a takeover', (rows) => swapped(rows).length > 0)
      await world.settle()
    }
    const content = swapped(await world.rows())[0]?.content ?? 0
    const [primary, mirror] = [await world.primary(content), await world.mirror(content)]
    return {
      args: ['rebalance'],
      hosts: [primary.hostname],
      instances: { target: primary.dbid, source: mirror.dbid, coordinator: await world.coordinator() },
      missing: async () => {
        return unless(swapped(await world.rows()).length === 0, 'not all are in their preferred roles')
      },
    }
  },
}

const hostDrain: MatrixCommand = {
  points: switchoverPoints,
  prepare: async (world) => {
    await ensureMirrors(world)
    const [primary, mirror] = [await world.primary(0), await world.mirror(0)]
    return {
      args: ['host', 'drain', primary.hostname],
      hosts: [primary.hostname],
      instances: { target: primary.dbid, source: mirror.dbid, coordinator: await world.coordinator() },
      missing: async () => {
        const rows = await world.rows()
        const left = segments(rows).filter(
          ({ hostname, role }) => hostname === primary.hostname && role === 'p',
        )
        return unless(left.length === 0, `${left.length} segments act as primary on ${primary.hostname}`)
      },
    }
  },
}

const mirrorsAdd: MatrixCommand = {
  points: addPoints,
  prepare: async (world) => {
    const admin = await world.admin()
    if (segments(await world.rows()).some(({ role }) => role === 'm')) await admin.removeMirrors()
    await world.cluster.lookAgain()
    const primary = await world.primary(0)
    return {
      args: ['mirrors', 'add'],
      hosts: world.cluster.facts.hosts.map(({ name }) => name),
      instances: { source: primary.dbid, coordinator: await world.coordinator() },
      missing: async () => {
        const rows = await world.rows()
        return [
          ...unless(
            segments(rows).filter(({ role }) => role === 'm').length === 2,
            'a content has no mirror',
          ),
          ...unless(inSync(rows), 'a pair is not in sync'),
        ]
      },
    }
  },
}

let moves = 0

const mirrorsMove: MatrixCommand = {
  points: movePoints,
  prepare: async (world) => {
    await ensureMirrors(world)
    const [primary, old] = [await world.primary(0), await world.mirror(0)]
    const hosts = world.cluster.facts.hosts.map(({ name }) => name)
    const host = hosts.find((name) => name !== primary.hostname && name !== old.hostname) as string
    moves += 1
    const offer = await world.cluster.ask(agentOf(world, host), {
      type: 'agent.offerPlace',
      folder: `moved${moves}`,
      datadir: null,
      ports: [null],
    })
    const place = { port: offer.ports[0] as number, datadir: offer.datadir }
    const file = join(world.dir, `move-${moves}.input`)
    await writeFile(
      file,
      `${old.hostname}|${old.port}|${old.datadir} ${host}|${place.port}|${place.datadir}\n`,
    )
    return {
      args: ['mirrors', 'move', '-i', file],
      hosts: [host, old.hostname],
      instances: { source: primary.dbid, coordinator: await world.coordinator() },
      missing: async () => {
        const mirror = await world.mirror(0)
        return [
          ...unless(
            mirror.datadir === place.datadir,
            `the mirror lies in ${mirror.datadir}, not in ${place.datadir}`,
          ),
          ...unless(mirror.mode === 's' && mirror.status === 'u', 'it is not in sync'),
          ...unless(!existsSync(old.datadir), `the old folder ${old.datadir} is left`),
        ]
      },
    }
  },
}

const mirrorsRemove: MatrixCommand = {
  points: removePoints,
  prepare: async (world) => {
    await ensureMirrors(world)
    const mirrors = segments(await world.rows()).filter(({ role }) => role === 'm')
    return {
      args: ['mirrors', 'remove', '--yes'],
      hosts: mirrors.map(({ hostname }) => hostname),
      instances: { source: (await world.primary(0)).dbid, coordinator: await world.coordinator() },
      missing: async () => [
        ...unless(!segments(await world.rows()).some(({ role }) => role === 'm'), 'there is a mirror'),
        ...mirrors.flatMap(({ datadir }) => unless(!existsSync(datadir), `the folder ${datadir} is left`)),
      ],
    }
  },
}

/** The standby of now is up, streams and is another one than the coordinator. */
async function standbyIsWell(world: World): Promise<string[]> {
  const standby = await world.standby()
  if (standby === undefined) return ['there is no standby coordinator']
  const { cluster } = await (await world.admin()).state()
  return [
    ...unless(standby.status === 'u', 'the standby coordinator is down'),
    ...unless(cluster.standby === 'streaming', `the standby coordinator is ${cluster.standby}`),
  ]
}

const standbyInit: MatrixCommand = {
  points: standbyInitPoints,
  prepare: async (world) => {
    if ((await world.standby()) !== undefined) await (await world.admin()).removeStandby()
    await world.cluster.lookAgain()
    return {
      args: ['standby', 'init'],
      hosts: world.cluster.facts.hosts.map(({ name }) => name),
      instances: { coordinator: await world.coordinator() },
      missing: () => standbyIsWell(world),
    }
  },
}

const standbyResync: MatrixCommand = {
  points: standbyResyncPoints,
  prepare: async (world) => {
    const standby = await ensureStandby(world)
    await world.kill(standby.dbid)
    await world.cluster.query('ANALYZE')
    return {
      args: ['standby', 'resync', '--mode', 'differential'],
      hosts: [standby.hostname],
      instances: { target: standby.dbid, coordinator: await world.coordinator() },
      missing: () => standbyIsWell(world),
    }
  },
}

const standbyRemove: MatrixCommand = {
  points: standbyRemovePoints,
  prepare: async (world) => {
    const standby = await ensureStandby(world)
    return {
      args: ['standby', 'remove'],
      hosts: [standby.hostname],
      instances: { target: standby.dbid, coordinator: await world.coordinator() },
      missing: async () => [
        ...unless((await world.standby()) === undefined, 'there is a standby coordinator'),
        ...unless(!existsSync(standby.datadir), `the folder ${standby.datadir} is left`),
      ],
    }
  },
}

const standbyActivate: MatrixCommand = {
  points: activatePoints,
  withoutCoordinator: true,
  prepare: async (world) => {
    const standby = await ensureStandby(world)
    await world.settle()
    const old = await world.coordinator()
    await world.kill(old)
    return {
      args: ['standby', 'activate'],
      hosts: [standby.hostname],
      instances: { target: standby.dbid },
      missing: async () => {
        await world.cluster.lookAgain()
        const rows = (await world.rows()).filter(({ content }) => content === -1)
        return [
          ...unless(
            rows.some(({ dbid, role }) => dbid === standby.dbid && role === 'p'),
            'it is not coordinator',
          ),
          ...unless(!rows.some(({ dbid }) => dbid === old), 'the old coordinator is in the catalog'),
        ]
      },
    }
  },
}

function agentOf(world: World, host: string) {
  const port = world.cluster.facts.hosts.find(({ name }) => name === host)?.agentPort ?? 0
  return { addresses: ['127.0.0.1'], port }
}

export const matrixCommands = {
  recover: recovery([], 'm', recoverPoints),
  'recover-primary': recovery([], 'p', recoverPoints),
  'recover-differential': recovery(['--differential'], 'p', copyPoints),
  'recover-full': recovery(['--full'], 'm', copyPoints),
  rebalance,
  'host-drain': hostDrain,
  'mirrors-move': mirrorsMove,
  'mirrors-remove': mirrorsRemove,
  'mirrors-add': mirrorsAdd,
  'standby-init': standbyInit,
  'standby-resync': standbyResync,
  'standby-remove': standbyRemove,
  'standby-activate': standbyActivate,
} as const satisfies Record<string, MatrixCommand>

export type MatrixCommandName = keyof typeof matrixCommands
export const matrixCommandNames = Object.keys(matrixCommands) as MatrixCommandName[]
