/**
 * What agents and instances keep: agent.json, instances.json, start.json, instance.json, the files of `state`, the mark of a copy. Damaged ones are
 * refused with `datadir.broken` that names the file; never half understood.
 */
import { readAgentConfig, readAssignment, readKnownInstances } from '@mirabelle/agent'
import { begunCopy, DATADIR_FORMAT, DurableState, readIdentity, verifyIdentity } from '@mirabelle/instance'
import { isAssignment, MirabelleError, type Assignment } from '@mirabelle/messages'
import { lateRefusalOf, promise, type FuzzInput, type FuzzTarget } from '../fuzz-target.ts'
import { memoryDisk } from './memory-disk.ts'
import { jsonFile } from './text-file.ts'

const DIR = '/host'

const assignment: Assignment = {
  dbid: 2,
  content: 0,
  role: 'p',
  epoch: 1,
  hostname: 'h1',
  datadir: DIR,
  listen: { addresses: ['127.0.0.1'], port: 7001 },
  sqlPort: 0,
  peer: { dbid: 3, endpoint: { addresses: ['127.0.0.1'], port: 7002 } } as Assignment['peer'],
  syncRep: true,
  recovery: 'auto',
  copyMaxRate: null,
  settings: { autovacuum: 'on' },
}

/** Each file: what a good one holds, and who reads it. */
const FILES: readonly { readonly name: string; readonly good: unknown }[] = [
  {
    name: 'agent.json',
    good: {
      formatVersion: 1,
      clusterId: 'c',
      hostname: 'h1',
      listen: { addresses: ['127.0.0.1'], port: 7000 },
      keyFile: '/k',
      templateDir: '/t',
      logLevel: 'info',
      encryption: 'auto',
    },
  },
  { name: 'instances.json', good: [{ assignment, wanted: true }] },
  { name: 'start.json', good: assignment },
  {
    name: 'instance.json',
    good: { formatVersion: DATADIR_FORMAT, clusterId: 'c', content: 0, dbid: 2, createdAt: 1 },
  },
  { name: 'state/epoch.json', good: { value: 7 } },
  { name: 'state/sync-rep.json', good: { value: true } },
  { name: 'state/standby-stale.json', good: { value: false } },
  { name: 'state/role.json', good: { value: 'm' } },
  { name: 'state/copying.json', good: { value: null } },
  { name: 'state/assignment.json', good: assignment },
  { name: 'state/copy-begun.json', good: { mode: 'full' } },
]

export const hostFiles: FuzzTarget = {
  name: 'host-files',
  what: 'files of agents and instances: configuration, identity, state, marks',
  draw(random) {
    const harmed = random.below(FILES.length)
    return FILES.map(({ good }, index) =>
      index === harmed || random.chance(0.05) ? jsonFile(random, good) : Buffer.from(JSON.stringify(good)),
    )
  },
  async run(input) {
    const disk = memoryDisk(
      new Map(FILES.map(({ name }, index) => [`${DIR}/${name}`, contentOf(input, index)])),
    )
    const attempts: (() => Promise<unknown>)[] = [
      async () => {
        const config = await readAgentConfig(disk, DIR)
        promise(
          config.listen.addresses.every((one) => typeof one === 'string') &&
            ['auto', 'always'].includes(config.encryption),
          () => 'a configuration without its parts was accepted',
        )
      },
      async () => {
        for (const known of await readKnownInstances(disk, DIR))
          promise(isAssignment(known.assignment), () => 'an assignment without its parts was accepted')
      },
      async () =>
        promise(isAssignment(await readAssignment(disk, `${DIR}/start.json`)), () => 'half an assignment'),
      async () => verifyIdentity(DIR, await readIdentity(disk, DIR), { clusterId: 'c', content: 0, dbid: 2 }),
      async () => {
        const state = await DurableState.open(disk, DIR)
        promise(
          Number.isSafeInteger(state.epoch) &&
            (state.assignment === undefined || isAssignment(state.assignment)),
          () => 'a state without its parts was accepted',
        )
      },
      async () => {
        const mode = await begunCopy(disk, DIR)
        promise(
          mode === undefined || mode === 'full' || mode === 'differential' || mode === 'incremental',
          () => `a copy of mode ${String(mode)}`,
        )
      },
    ]
    for (const attempt of attempts) {
      const refused = await lateRefusalOf(attempt, MirabelleError)
      if (refused === undefined) continue
      promise(
        ['datadir.broken', 'datadir.foreign'].includes(refused.code),
        () => `${refused.code}: ${refused.message}`,
      )
      promise(refused.message.includes(DIR), () => `no file is named: ${refused.message}`)
    }
  },
}

function contentOf(input: FuzzInput, index: number): Uint8Array {
  return input[index] ?? Buffer.alloc(0)
}
