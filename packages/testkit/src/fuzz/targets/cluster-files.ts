/** What an administrator keeps and writes: cluster.json, the YAML that describes hosts, the files of `-i`. A mistake is a CliError that says where. */
import { CliError, planCluster, PlacementError } from 'mirabelle'
import {
  parseAddFile,
  parseClusterFile,
  parseClusterYaml,
  parseMoveFile,
  parseRecoverFile,
  type ClusterFile,
} from 'mirabelle/describe'
import { promise, refusalOf, type FuzzTarget } from '../fuzz-target.ts'
import { jsonFile, linesFile } from './text-file.ts'

const endpoint = { addresses: ['127.0.0.1'], port: 7002 }
const row = (dbid: number, content: number, role: 'p' | 'm', host: string): ClusterFile['rows'][number] => ({
  dbid,
  content,
  role,
  preferredRole: role,
  mode: 's',
  status: 'u',
  port: 7000 + dbid,
  hostname: host,
  address: '10.0.0.1',
  datadir: `/data/${host}/dbid${dbid}`,
  endpoint: { addresses: ['10.0.0.1'], port: 7000 + dbid },
})
const rows = [
  row(1, -1, 'p', 'sdw1'),
  row(2, 0, 'p', 'sdw1'),
  row(3, 0, 'm', 'sdw2'),
  row(4, 1, 'p', 'sdw2'),
  row(5, 1, 'm', 'sdw1'),
]
const hosts = ['sdw1', 'sdw2'].map((name) => ({
  name,
  addresses: ['10.0.0.1'],
  agentPort: 7000,
  dir: `/data/${name}`,
}))

const CLUSTER: ClusterFile = {
  formatVersion: 1,
  clusterId: 'c',
  createdAt: '2026-01-01T00:00:00.000Z',
  progress: 'ready',
  local: true,
  mirroring: 'group',
  settings: { autovacuum: 'on' },
  keyFile: 'cluster.key',
  hosts: hosts.map((host) => ({ ...host, addresses: endpoint.addresses })),
  rows,
  coordinatorDbid: 1,
  standbyDbid: null,
  activatingDbid: null,
  epoch: 1,
  initialised: true,
}

const YAML = `cluster:
  port: 5432
  mirroring: spread
  segments_per_host: 2
  coordinator: mdw
  standby: smdw
  settings:
    gp_fts_probe_interval: 10s
    autovacuum: off
hosts:
  - name: mdw
    addresses: [10.0.0.1]
    dir: /srv/mirabelle
    segments: false
  - &s
    name: smdw
    addresses: [10.0.0.2]
    dir: /srv/mirabelle
  - {name: sdw1, addresses: [10.0.0.11, 10.1.0.11], dir: /srv/mirabelle}
  - {name: sdw2, addresses: [10.0.0.12], dir: /srv/mirabelle, agent_port: 7100, base_port: 7200}
`

const MIRRORS = `# recovered and moved
10.0.0.1|7003|/data/sdw2/dbid3
D|sdw1|7005|/data/sdw1/dbid5
sdw2|7003|/data/sdw2/dbid3 sdw1|7010|/data/sdw1/new
0|sdw1|7011|/data/sdw1/m0
1|10.0.0.1|7012|/data/sdw2/m1
`

/** Rows and hosts that the files of `-i` speak of. */
const around = { rows, hosts }

export const clusterJson: FuzzTarget = {
  name: 'cluster-json',
  what: 'cluster.json of a cluster’s folder',
  draw: (random) => [jsonFile(random, CLUSTER)],
  run(input) {
    const text = Buffer.concat(input).toString('utf8')
    const refused = refusalOf(() => void parseClusterFile('cluster.json', text), CliError)
    if (refused !== undefined) promise(refused.message.startsWith('cluster.json '), () => refused.message)
  },
}

/** A small cluster is planned; a file may ask for more than there is memory for. */
const MOST_SEGMENTS = 1_000

export const clusterYaml: FuzzTarget = {
  name: 'cluster-yaml',
  what: 'the YAML file that describes the hosts of a cluster, and the plan that is made of it',
  draw: (random) => [linesFile(random, YAML)],
  run(input) {
    const text = Buffer.concat(input).toString('utf8')
    const refused = refusalOf<Error>(
      () => {
        const { description } = parseClusterYaml('c.yaml', text)
        const { segments } = description
        const asked = 'total' in segments ? segments.total : segments.perHost * description.hosts.length
        if (asked <= MOST_SEGMENTS) planCluster(description)
      },
      CliError,
      PlacementError,
    )
    if (refused instanceof CliError)
      promise(
        refused.message.split('\n').every((line) => /^c\.yaml:\d+: /.test(line)),
        () => refused.message,
      )
  },
}

export const mirrorFiles: FuzzTarget = {
  name: 'mirror-files',
  what: 'the files of recover -i, mirrors add -i and mirrors move -i',
  draw: (random) => [linesFile(random, MIRRORS)],
  run(input) {
    const file = { path: 'moves', text: Buffer.concat(input).toString('utf8') }
    for (const parse of [parseRecoverFile, parseMoveFile, parseAddFile]) {
      const refused = refusalOf(() => void parse(file, around), CliError)
      if (refused !== undefined) promise(refused.message.startsWith('moves:'), () => refused.message)
      // Each line may be right by itself.
      for (const line of file.text.split('\n'))
        refusalOf(() => void parse({ ...file, text: line }, around), CliError)
    }
  },
}
