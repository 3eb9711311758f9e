import t from 'tap'
import { defaultSettings, parseSetting, settingsCatalog, settingsFrom } from '../src/index.ts'
import type { SettingEntry, SettingName } from '../src/index.ts'

const entries = Object.entries(settingsCatalog) as [SettingName, SettingEntry][]

t.test('every default is inside its own range and described', async (t) => {
  for (const [name, entry] of entries) {
    t.equal(defaultSettings[name], entry.default)
    t.equal(parseSetting(name, String(entry.default)), entry.default, `${name} reads its own default`)
    t.ok(entry.doc.endsWith('.'), `${name} is described`)
    if (typeof entry.default === 'number')
      t.ok((entry.min ?? 0) <= entry.default && entry.default <= (entry.max ?? 0))
  }
})

t.test('times and sizes are read with their units', async (t) => {
  const read: [SettingName, string, unknown][] = [
    ['gp_fts_probe_interval', '5s', 5_000],
    ['gp_fts_probe_interval', '250', 250],
    ['gp_fts_probe_interval', '250ms', 250],
    ['gp_fts_probe_interval', ' 1.5 min ', 90_000],
    ['checkpoint_timeout', '1h', 3_600_000],
    ['checkpoint_timeout', '1d', 86_400_000],
    ['max_wal_size', '1GB', 2 ** 30],
    ['max_wal_size', '64MB', 2 ** 26],
    ['max_wal_size', '16384kB', 2 ** 24],
    ['max_slot_wal_keep_size', '1TB', 2 ** 40],
    ['autovacuum', 'off', false],
    ['autovacuum', 'ON', true],
    ['mirrorless_policy', 'refuse', 'refuse'],
    ['gp_fts_probe_retries', '0', 0],
  ]
  for (const [name, text, value] of read) t.equal(parseSetting(name, text), value, `${name} = ${text}`)
})

t.test('what is out of range or has a wrong unit is refused with name, value and range', async (t) => {
  const bad: [SettingName, string][] = [
    ['gp_fts_probe_interval', '99'],
    ['gp_fts_probe_interval', '2h'],
    ['gp_fts_probe_interval', '5GB'],
    ['gp_fts_probe_interval', '-5s'],
    ['gp_fts_probe_interval', ''],
    ['gp_fts_probe_interval', 's'],
    ['gp_fts_probe_interval', '5 toString'],
    ['gp_fts_probe_retries', '5s'],
    ['max_wal_size', '1min'],
    ['autovacuum', 'maybe'],
    ['mirrorless_policy', 'panic'],
  ]
  for (const [name, text] of bad)
    t.throws(
      () => parseSetting(name, text),
      { name: 'RangeError', message: new RegExp(`"${name}": "`) },
      `${name} = ${text}`,
    )
})

t.test('texts of a catalog overlay the defaults; names of another release are passed over', async (t) => {
  const settings = settingsFrom({ gp_fts_probe_interval: '2s', from_the_future: 'x', toString: 'y' })
  t.equal(settings.gp_fts_probe_interval, 2_000)
  t.equal(settings.wal_sender_timeout, defaultSettings.wal_sender_timeout)
  t.same(Object.keys(settings), Object.keys(defaultSettings))
})
