import t from 'tap'
import { CliError } from '../src/errors.ts'
import { parseClusterYaml } from '../src/describe/cluster-yaml.ts'
import { planCluster } from '../src/placement/plan-cluster.ts'

const GOOD = `cluster:
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
  - name: smdw
    addresses: [10.0.0.2]
    dir: /srv/mirabelle
    segments: false
  - {name: sdw1, addresses: [10.0.0.11, 10.1.0.11], dir: /srv/mirabelle}
  - {name: sdw2, addresses: [10.0.0.12], dir: /srv/mirabelle, agent_port: 7100, base_port: 7200}
  - {name: sdw3, addresses: [10.0.0.13], dir: /srv/mirabelle}
`

/** The complaint about a text, as lines. */
function complaint(text: string): string[] {
  try {
    parseClusterYaml('c.yaml', text)
  } catch (error) {
    if (error instanceof CliError) return error.message.split('\n')
    throw error
  }
  return []
}

t.test('a good file becomes a description that can be planned', (test) => {
  const { description, settings, hostDirs, mirroring } = parseClusterYaml('c.yaml', GOOD)
  const { rows, hosts } = planCluster(description)
  test.equal(mirroring, 'spread')
  test.same(settings, { gp_fts_probe_interval: '10s', autovacuum: 'off' })
  test.equal(hostDirs.get('sdw2'), '/srv/mirabelle')
  test.equal(rows.length, 1 + 6 + 6 + 1)
  test.same(rows[0], { ...rows[0], hostname: 'mdw', port: 5432, content: -1, role: 'p' })
  test.equal(hosts.find(({ hostname }) => hostname === 'sdw2')?.agent.port, 7100)
  test.same(hosts.find(({ hostname }) => hostname === 'sdw1')?.agent.addresses, ['10.0.0.11', '10.1.0.11'])
  test.ok(rows.filter(({ hostname }) => hostname === 'mdw').every(({ content }) => content === -1))
  test.end()
})

t.test('each mistake is named with its line and its path', (test) => {
  const changed = (from: string, to: string): string[] => complaint(GOOD.replace(from, to))
  test.match(changed('mirroring: spread', 'mirroring: mirrored')[0], /^c\.yaml:3: cluster\.mirroring: /)
  test.match(changed('port: 5432', 'port: 70000')[0], /^c\.yaml:2: cluster\.port: /)
  test.match(
    changed('    dir: /srv/mirabelle\n', '    dir: srv\n')[0],
    /^c\.yaml:13: hosts\.0\.dir: must be an absolute path/,
  )
  test.match(
    changed('standby: smdw', 'standby: nowhere')[0],
    /^c\.yaml:6: cluster\.standby: there is no host nowhere; the hosts are mdw, smdw/,
  )
  test.match(changed('name: sdw2', 'name: sdw1')[0], /^c\.yaml:20: hosts\.3\.name: host sdw1 is named twice/)
  test.match(changed('  port: 5432', '  prot: 5432')[0], /^c\.yaml:2: cluster\.prot: is not known here/)
  test.match(
    changed('gp_fts_probe_interval: 10s', 'gp_fts_probe_interval: soon')[0],
    /^c\.yaml:8: cluster\.settings\.gp_fts_probe_interval: invalid value/,
  )
  test.match(
    changed('autovacuum: off', 'autovaccuum: off')[0],
    /^c\.yaml:9: cluster\.settings\.autovaccuum: there is no setting/,
  )
  test.match(
    changed('segments_per_host: 2', 'segments_per_host: 2\n  segments: 4')[0],
    /^c\.yaml:4: cluster\.segments_per_host: give segments or/,
  )
  test.match(changed('addresses: [10.0.0.1]', 'addresses: []')[0], /^c\.yaml:12: hosts\.0\.addresses: /)
  test.end()
})

t.test('several mistakes are told at once', (test) => {
  const text = GOOD.replace('port: 5432', 'port: 0').replace('mirroring: spread', 'mirroring: none at all')
  test.equal(complaint(text).length, 2)
  test.end()
})

t.test('aliases that would unfold to millions of values are refused', (test) => {
  const doubled = (name: string, of: string): string =>
    `${name}: &${name} [*${of}, *${of}, *${of}, *${of}, *${of}, *${of}]\n`
  const laughs = `a: &a [x, x]\n${doubled('b', 'a')}${doubled('c', 'b')}${doubled('d', 'c')}${doubled('e', 'd')}`
  test.match(complaint(laughs)[0], /^c\.yaml:1: .*alias/i)
  test.end()
})

t.test('what is no YAML, or no mapping, is refused with a line', (test) => {
  test.match(complaint('cluster: {port: 1\nhosts: [')[0], /^c\.yaml:\d+: /)
  test.match(complaint('just words')[0], /^c\.yaml:1: the file: /)
  test.match(complaint('')[0], /^c\.yaml:1: the file: /)
  test.match(complaint('cluster: {}\nhosts: []\n')[0], /^c\.yaml:2: hosts: /)
  test.end()
})
