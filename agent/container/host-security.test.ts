/** Finding out what a host confines containers with, on hosts made of files: this one has little of it. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { DeviceSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { silentLog } from "#proto/system-ports.ts";
import { type Exec, systemExec } from "../exec.ts";
import { isLoaded, loadDefaultProfile, profileText } from "./apparmor.ts";
import { deviceNumbers, readHostDevices } from "./devices.ts";
import { readHostSecurity } from "./host-security.ts";
import { labelFiles, labelledMount } from "./selinux.ts";

function hostWith(files: Readonly<Record<string, string>>) {
  const root = mkdtempSync(join(tmpdir(), "swarm-host-"));
  try {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(join(root, dirname(path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    return readHostSecurity(root);
  } finally {
    rmSync(root, { recursive: true });
  }
}

test("host security, a host with all of it", () => {
  const found = hostWith({
    "proc/self/status": "Name:\tx\nSeccomp:\t0\n",
    "sys/module/apparmor/parameters/enabled": "Y\n",
    "sys/fs/selinux/enforce": "1",
    "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "0",
    "sys/devices/system/cpu/cpufreq/thermal_throttle": "no processor",
  });
  assert.deepEqual([found.seccomp, found.apparmor, found.selinux], [true, true, true]);
  assert.deepEqual(found.thermalPaths, ["/sys/devices/system/cpu/cpu0/thermal_throttle"]);
});

test("host security, a host with none of it", () => {
  const found = hostWith({
    "proc/self/status": "Name:\tx\n",
    "sys/module/apparmor/parameters/enabled": "N\n",
  });
  assert.deepEqual([found.seccomp, found.apparmor, found.selinux], [false, false, false]);
  assert.deepEqual(found.thermalPaths, []);
});

test("AppArmor's default profile, includes only what is there", () => {
  const bare = profileText(() => false);
  // A runtime that the host confines kills containers, too.
  assert.match(bare, /signal \(receive\) peer=runc,/);
  assert.doesNotMatch(bare, /#include/);
  assert.match(bare, /^@\{PROC\}=\/proc\/$/m);
  assert.match(
    profileText(() => true),
    /#include <tunables\/global>[^]*#include <abstractions\/base>/,
  );
  for (const text of ["profile swarm-default flags=", "deny mount,", "kcore", "/sys/{firmware"]) {
    assert.ok(bare.includes(text), text);
  }
  assert.equal(bare.split("{").length, bare.split("}").length);
});

test("AppArmor's default profile, is loaded by its parser; without one containers have none", async () => {
  const runs: (readonly string[])[] = [];
  const run: Exec["run"] = async (command, args, options) => {
    runs.push([command, ...args, String(options?.input).slice(0, 1)]);
    return { stdout: "", stderr: "" };
  };
  const modules = { exec: { ...systemExec, run }, log: silentLog };
  assert.equal(await loadDefaultProfile(modules), "swarm-default");
  assert.deepEqual(runs, [["apparmor_parser", "-K", "-r", runs[0]?.at(-1)]]);
  const missing: Exec["run"] = () => Promise.reject(new Error("ENOENT"));
  const without = { exec: { ...systemExec, run: missing }, log: silentLog };
  assert.equal(await loadDefaultProfile(without), undefined);
});

test("AppArmor's default profile, is found among those that are loaded", () => {
  assert.ok(isLoaded("docker-default (enforce)\nswarm-default (enforce)\n"));
  assert.ok(!isLoaded("swarm-default-2 (enforce)\n"));
});

test("SELinux, the overlay and the generated files are labelled where a container asks for it", async () => {
  const runs: (readonly string[])[] = [];
  const run: Exec["run"] = async (command, args) => {
    runs.push([command, ...args]);
    return { stdout: "", stderr: "" };
  };
  const exec = { ...systemExec, run };
  const label = "system_u:object_r:container_file_t:s0:c1,c2";
  assert.equal(labelledMount("lowerdir=l", label), `lowerdir=l,context="${label}"`);
  assert.equal(labelledMount("lowerdir=l", undefined), "lowerdir=l");
  await labelFiles(label, ["/t/hosts"], exec);
  await labelFiles(undefined, ["/t/hosts"], exec);
  assert.deepEqual(runs, [["chcon", "--", label, "/t/hosts"]]);
});

test("devices, a privileged container has all of them, and one by the name that it asks for", async () => {
  const device = { pathOnHost: "/dev/null", pathInContainer: "/dev/mine" };
  const devices = [create(DeviceSchema, device)];
  const found = await readHostDevices({ privileged: true, devices });
  const paths = found.filter(({ major, minor }) => major === 1 && minor === 3);
  assert.deepEqual(
    paths.map(({ path }) => path),
    ["/dev/null", "/dev/mine"],
  );
});

test("deviceNumbers, as glibc's makedev puts a number together", () => {
  const u32 = fc.bigInt({ min: 0n, max: 0xffffffffn });
  fc.assert(
    fc.property(u32, u32, (major, minor) => {
      const rdev =
        ((major & 0xfffn) << 8n) |
        ((major & ~0xfffn) << 32n) |
        (minor & 0xffn) |
        ((minor & ~0xffn) << 12n);
      assert.deepEqual(deviceNumbers(rdev), { major: Number(major), minor: Number(minor) });
    }),
  );
});
