// The options of the command, and that its page and its help name every fault and every anomaly.
import t from 'tap'
import { readFileSync, readdirSync } from 'node:fs'
import { chaosHelp, parseChaosArgs } from '../../src/chaos/chaos-options.ts'
import { drawFault, faultNames, loopbackFaultNames } from '../../src/chaos/faults/fault-catalog.ts'
import { SimRandom } from '../../src/sim/sim-random.ts'

const read = (path: string) => readFileSync(new URL(path, import.meta.url), 'utf8')

t.test('options have defaults, and wrong ones are refused with what is allowed', async (t) => {
  t.match(parseChaosArgs(['--seed', '7']), {
    seed: 7,
    minutes: 1,
    segments: 2,
    faults: loopbackFaultNames,
    hosts: 'loopback',
    json: false,
  })
  t.same(parseChaosArgs(['--faults', 'kill-pair,recover']).faults, ['kill-pair', 'recover'])
  t.throws(
    () => parseChaosArgs(['--faults', 'kill-pair,meteor']),
    /does not know meteor; there are kill-primary/,
  )
  t.throws(() => parseChaosArgs(['--workloads', 'queue']), /there are append, register, bank, set, schema/)
  t.throws(() => parseChaosArgs(['--seed', '']), /--seed takes a number of at least 0/)
  t.throws(() => parseChaosArgs(['--segments', '0']), /at least 1/)
  t.throws(() => parseChaosArgs(['--hosts', 'moon']), /--hosts moon is not known; there are loopback, netns/)
  t.throws(() => parseChaosArgs(['more']), /see --help/)
})

t.test('what cuts hosts off is there only where hosts can be cut off', async (t) => {
  t.same(
    faultNames.filter((name) => !loopbackFaultNames.includes(name)),
    ['cut-host', 'cut-one-way', 'cut-coordinator', 'cut-flapping', 'cut-network', 'replace-cut-coordinator'],
  )
  t.match(parseChaosArgs(['--hosts', 'netns']), { hosts: 'netns', faults: faultNames })
  t.same(parseChaosArgs(['--hosts', 'netns', '--faults', 'cut-host,recover']).faults, ['cut-host', 'recover'])
  t.throws(
    () => parseChaosArgs(['--faults', 'cut-host,recover']),
    /cut-host can be done with --hosts netns only/,
  )
})

t.test('the help and the page name every fault', async (t) => {
  const page = read('../../../../docs/chaos.md')
  for (const name of faultNames) {
    t.ok(chaosHelp().includes(`    ${name} `), `help: ${name}`)
    t.ok(page.includes(`\`${name}\``), `docs/chaos.md: ${name}`)
  }
})

t.test('the page explains every anomaly that a checker can report', async (t) => {
  const page = read('../../../../docs/chaos.md')
  const folder = '../../src/chaos/check/'
  const kinds = readdirSync(new URL(folder, import.meta.url)).flatMap((file) => {
    const text = read(`${folder}${file}`)
    return [...text.matchAll(/(?:kind: |say\(\s*|make\()'([\w-]+)'/g)].map((found) => found[1] as string)
  })
  t.ok(kinds.length >= 15, kinds.join())
  for (const kind of kinds) t.ok(page.includes(`\`${kind}\``), kind)
})

t.test('a seed draws the same faults again, heavier ones more often', async (t) => {
  const draw = (seed: number) => {
    const random = new SimRandom(seed)
    return Array.from({ length: 2_000 }, () => drawFault(faultNames, random))
  }
  t.same(draw(1), draw(1))
  t.not(draw(1).join(), draw(2).join())
  const times = (name: string) => draw(1).filter((one) => one === name).length
  t.same(
    faultNames.filter((name) => times(name) === 0),
    [],
    'each is drawn',
  )
  t.ok(times('kill-primary') > 2 * times('kill-everything'))
  t.same(drawFault(['recover'], new SimRandom(1)), 'recover')
})
