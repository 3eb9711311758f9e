// The deployment of examples/vms on three hosts that are network namespaces, from its first command on, with its own files: hosts are cut off, come back, lose their power, while
// clients on a fourth host write. Needs root and `ip`; elsewhere it is left out, and says why.
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { hostsOfYaml, networkHere, runInside, whyNoNamespaces } from '@mirabelle/testkit/netns'

const example = (name: string) => readFile(new URL(`../../examples/vms/${name}`, import.meta.url), 'utf8')
const CLIENT = { name: 'client', addresses: ['10.0.0.100', '10.1.0.100'] }

const network = networkHere()
if (network === undefined) {
  const why = await whyNoNamespaces()
  if (why === undefined) {
    const hosts = [...hostsOfYaml(await example('cluster.yaml')), CLIENT]
    process.exitCode = await runInside(hosts, CLIENT.name, fileURLToPath(import.meta.url))
  } else {
    const { default: t } = await import('tap')
    t.setTimeout(60_000)
    await t.test('three virtual machines', { skip: why }, () => Promise.resolve())
  }
} else {
  const { threeVms } = await import('./vms.ts')
  await threeVms(network, {
    yaml: await example('cluster.yaml'),
    unit: await example('mirabelle-agent.service'),
  })
}
