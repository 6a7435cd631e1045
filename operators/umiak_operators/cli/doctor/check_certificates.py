"""Keys, the certificate that gateway and broker show, and whether they answer from here."""

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from umiak_operators.cli.doctor.facts import KEY_FILES, KEYS, Certificate, Facts, Obj, Reach, few, span
from umiak_operators.cli.doctor.finding import Finding, ok, problem, warning

SOON: Final = 14 * 86_400.0
_DEFAULT_PORTS: Final = {"https": 443, "http": 80, "mqtts": 8883, "mqtt": 1883}


def check(facts: Facts) -> Iterator[Finding]:
    """Keys, certificates, addresses."""
    yield from _keys(facts)
    yield from _secrets_of_workers(facts)
    for name in tls_secrets(facts):
        yield from _tls(facts, name)
    yield from _insecure(facts)
    for reach in facts.reaches:
        yield from _reach(facts, reach)


def keys_secret(facts: Facts) -> str:
    """The Secret of keys, by what the operator's init container is told."""
    return next((word[len("--keys=") :] for word in _words(facts) if word.startswith("--keys=")), KEYS)


def _words(facts: Facts) -> list[str]:
    """The command of the operator's init container, which makes keys and certificate."""
    spec = _pod_spec(facts.deployment("operator"))
    return [str(word) for one in spec.get("initContainers") or () for word in one.get("command") or ()]


def tls_secrets(facts: Facts) -> list[str]:
    """The Secrets that gateway and broker show their certificate from."""
    found = {
        str(volume["secret"]["secretName"])
        for part in ("gateway", "broker")
        for volume in _pod_spec(facts.deployment(part)).get("volumes") or ()
        if volume["name"] == "tls"
    }
    return sorted(found)


def _pod_spec(deployment: Obj | None) -> Any:
    return deployment["spec"]["template"]["spec"] if deployment else {}


def _keys(facts: Facts) -> Iterator[Finding]:
    name = keys_secret(facts)
    if name not in facts.secrets:
        return
    found, subject = facts.secrets[name], f"Secret {facts.namespace}/{name}"
    why = "it proves every token and signs every release; operator, hub and signer do not start without it"
    if found is None:
        fix = (
            f"kubectl logs -n {facts.namespace} deploy/umiak-operator -c installation   (it makes them once)"
            if "--make-keys" in _words(facts)
            else f"kubectl create secret generic {name} -n {facts.namespace} "
            f"--from-file=operator.key --from-file=signing.key"
        )
        yield problem("certificates.keys", "the Secret of keys is not there", why, fix, subject=subject)
        return
    lacks = [key for key in KEY_FILES if key not in found.keys]
    if lacks or found.faults:
        text = "; ".join([*(f"lacks {key}" for key in lacks), *found.faults])
        restore = "put both keys in from your copy; a new pair would make every edge distrust the next release"
        yield problem("certificates.keys", text, why, restore, subject=subject)
        return
    yield ok("certificates.keys", "holds both keys", subject)


def _secrets_of_workers(facts: Facts) -> Iterator[Finding]:
    if facts.secrets.get(keys_secret(facts), ...) is None:
        return  # said already
    for part in ("hub", "signer"):
        name = f"umiak-{part}"
        if facts.deployment(part) is not None and name in facts.secrets and facts.secrets[name] is None:
            yield problem(
                "certificates.worker",
                "is not there",
                f"the {part} waits in ContainerCreating until the operator's first start has written it",
                f"kubectl logs -n {facts.namespace} deploy/umiak-operator -c installation",
                f"kubectl rollout restart -n {facts.namespace} deployment/umiak-operator",
                subject=f"Secret {facts.namespace}/{name}",
            )


def _tls(facts: Facts, name: str) -> Iterator[Finding]:
    if name not in facts.secrets:
        return
    found, subject = facts.secrets[name], f"Secret {facts.namespace}/{name}"
    if found is None:
        why = "gateway and broker wait in ContainerCreating, and no edge can connect"
        text, do = "the certificate's Secret is not there", _remedy(facts, name, new=True)
        yield problem("certificates.tls", text, why, *do, subject=subject)
    elif found.certificate is None:
        text = "; ".join(found.faults) or "holds no tls.crt"
        why = "gateway and broker do not start with it"
        yield problem("certificates.tls", text, why, *_remedy(facts, name, new=False), subject=subject)
    else:
        yield from _certificate(facts, name, found.certificate)


def _remedy(facts: Facts, name: str, *, new: bool) -> tuple[str, ...]:
    """How to get a certificate: the installation makes its own, another one is brought."""
    at = f"-n {facts.namespace}"
    if "--make-tls" in _words(facts):
        log = f"kubectl logs {at} deploy/umiak-operator -c installation"
        return (f"kubectl rollout restart {at} deployment/umiak-operator   (it makes a new one)", log)
    make = f"kubectl create secret tls {name} {at} --cert=gate.crt --key=gate.key"
    restart = f"kubectl rollout restart {at} deployment/umiak-gateway deployment/umiak-broker"
    return (make,) if new else (f"{make} --dry-run=client -o yaml | kubectl apply -f -", restart)


def _certificate(facts: Facts, name: str, it: Certificate) -> Iterator[Finding]:
    found = [*_times(facts, it), *_names(facts, it), *_chain(it)]
    subject, remedy = f"Secret {facts.namespace}/{name}", _remedy(facts, name, new=False)
    for finding in found:
        yield finding.model_copy(update={"subject": subject, "next": finding.next or remedy})
    if not found:
        left = it.ends - facts.api_now
        yield ok("certificates.tls", f"valid for {span(left)} more, for {few(list(it.names))}", subject)
    shown = sorted({reach.part for reach in facts.reaches if reach.fingerprint not in ("", it.fingerprint)})
    if shown:
        restart = f"kubectl rollout restart -n {facts.namespace} deployment/umiak-gateway deployment/umiak-broker"
        text, why = f"another one is still shown by {' and '.join(shown)}", "a renewed certificate is read at start"
        yield warning("certificates.stale", text, why, restart, subject=subject)


def _times(facts: Facts, it: Certificate) -> Iterator[Finding]:
    left, before = it.ends - facts.api_now, it.begins - facts.api_now
    if left <= 0:
        why = "edges refuse the connection: they answer by themselves, and nothing else works"
        yield problem("certificates.expiry", f"expired {span(-left)} ago", why)
    elif before > 0:
        why, clocks = "edges refuse it until then", "timedatectl status, where it was made and on the nodes"
        yield problem("certificates.expiry", f"is valid only in {span(before)}", why, clocks)
    elif left < SOON:
        yield warning("certificates.expiry", f"expires in {span(left)}", "after that edges refuse the connection")


def _names(facts: Facts, it: Certificate) -> Iterator[Finding]:
    wrong = [host for host in outside_hosts(facts) if not covers(it.names, host)]
    if wrong:
        text = f"is for {few(list(it.names), 5) or 'no name at all'}, edges dial {', '.join(wrong)}"
        yield problem("certificates.names", text, "edges refuse a certificate for another name")


def _chain(it: Certificate) -> Iterator[Finding]:
    if not it.fits_key:
        why = "gateway and broker do not start with such a pair"
        yield problem("certificates.key", "tls.key does not belong to tls.crt", why)
    if it.authority == "other":
        why = "edges trust ca.crt beside the authorities of their image, and this is signed by neither of it"
        yield warning("certificates.chain", "its ca.crt did not sign it", why)
    if it.gap_in_chain:
        why = "who does not know the missing certificate by chance refuses the connection"
        text = "the chain in tls.crt has a gap: the certificate first, then each one's issuer"
        yield warning("certificates.chain", text, why)
    if it.self_signed and it.authority != "fits":
        why = "edges trust it only if they are told to"
        yield warning("certificates.chain", "is signed by itself", why, "put it into the same Secret as ca.crt as well")


def _insecure(facts: Facts) -> Iterator[Finding]:
    plain = [url for url in outside_urls(facts) if urlsplit(url).scheme in ("http", "mqtt")]
    if plain:
        yield warning(
            "certificates.insecure",
            f"edges dial without TLS: {', '.join(plain)}",
            "tokens and photos can be read and forged on their way; fit for a trial on one machine",
            facts.helm("tls.insecure=false"),
        )


def outside_urls(facts: Facts) -> list[str]:
    """What edges dial."""
    told = facts.platform or {}
    return [str(told[key]) for key in ("hub", "cloud", "broker") if told.get(key)]


def outside_hosts(facts: Facts) -> list[str]:
    """Names that the certificate has to cover."""
    secure = [urlsplit(url) for url in outside_urls(facts)]
    return sorted({url.hostname for url in secure if url.scheme in ("https", "mqtts") and url.hostname})


def covers(names: tuple[str, ...], host: str) -> bool:
    """Whether a certificate's names cover a host: exactly, or by one wildcard label."""
    wild = f"*.{host.partition('.')[2]}"
    return any(name.lower() in (host.lower(), wild.lower()) for name in names)


def _reach(facts: Facts, reach: Reach) -> Iterator[Finding]:
    url = urlsplit(reach.url)
    port = url.port or _DEFAULT_PORTS.get(url.scheme, 443)
    check_name = f"certificates.{reach.part}"
    look = f"kubectl get service -n {facts.namespace} -l umiak.dev/component={reach.part}"
    if not reach.failure and not reach.untrusted:
        yield ok(check_name, f"{reach.url} answers from this machine")
        return
    if not reach.failure:
        yield warning(
            check_name,
            f"{reach.url} answers, with a certificate that this machine does not trust: {reach.untrusted}",
            "edges see the same unless the authority is in the bundle of their image",
            f"openssl s_client -connect {url.hostname}:{port} -servername {url.hostname} </dev/null",
        )
        return
    words = {
        "name": f"the name {url.hostname} does not resolve from this machine",
        "refused": f"{reach.url} is not reached from this machine: nobody listens ({reach.message})",
        "timeout": f"{reach.url} is not reached from this machine: no answer in time",
        "tls": f"{reach.url} is reached from this machine, but speaks no TLS: {reach.message}",
        "answer": f"{reach.url} is reached from this machine, but answers {reach.message}",
    }
    why = "edges dial this very address; from another network it may well be different"
    if reach.failure == "answer":
        why = "the gateway is there; what is behind it is not, or another server has this address"
    yield warning(check_name, words[reach.failure], why, look, f"nc -vz {url.hostname} {port}   (from an edge)")
