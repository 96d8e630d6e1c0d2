"""
What is asked of the web about an incident. Never a piece of a log line.

A query is built from the address, the family and names out of a fixed list: an attacker's text
would make the search find the attacker's pages, and may hold secrets of a victim.
"""

import re
from collections.abc import Iterable
from ipaddress import ip_network
from urllib.parse import unquote_plus

import re2

from tasks.model.incidents import Family, Incident

QUERY_LIMIT = 400
"""Tavily refuses longer ones."""
_MAX_TOPICS = 4
_MAX_LINE = 4000

_FAMILY_WORDS = {
    Family.SQL_INJECTION: "SQL injection",
    Family.CROSS_SITE_SCRIPTING: "cross-site scripting XSS",
    Family.PATH_TRAVERSAL: "path traversal",
    Family.REMOTE_CODE_EXECUTION: "remote code execution",
    Family.BRUTE_FORCE: "brute force login",
    Family.RECONNAISSANCE: "web reconnaissance",
    Family.SCANNER: "vulnerability scanner",
    Family.WEB_SCRAPING: "web scraping",
    Family.DENIAL_OF_SERVICE: "denial of service",
    Family.OTHER: "suspicious requests",
}

_CVE = re.compile(r"cve-(?:19|20)\d{2}-\d{4,7}(?!\d)")
# What a decoded, lower-case line holds, and what the world calls it. RE2: in linear time.
_TOPICS = [
    (re2.compile(pattern), topic)
    for pattern, topic in (
        (r"\$\{(?:jndi:|[^}]{0,40}:-)", "Log4Shell CVE-2021-44228"),
        (r"\(\)\s*\{\s*:?;?\s*\}\s*;", "Shellshock CVE-2014-6271"),
        (r"class\.module\.classloader", "Spring4Shell CVE-2022-22965"),
        (r"%\{\(#|ognl|#_memberaccess", "Apache Struts OGNL injection"),
        (r"/vendor/phpunit/|eval-stdin\.php", "PHPUnit eval-stdin CVE-2017-9841"),
        (r"invokefunction|think\\app|/index/\\think", "ThinkPHP remote code execution"),
        (r"/cgi-bin/\.%|/cgi-bin/\.\./|/icons/\.%|/icons/\.\./", "Apache CVE-2021-41773"),
        (r"allow_url_include|auto_prepend_file", "PHP-CGI CVE-2024-4577"),
        (r"/_ignition/execute-solution", "Laravel Ignition CVE-2021-3129"),
        (r"/boaform/|/goform/|/hnap1|/gponform/", "router botnet exploit"),
        (r"/cgi-bin/luci", "TP-Link CVE-2023-1389"),
        (r"/remote/fgt_lang|/remote/logincheck|/remote/login", "Fortinet FortiOS SSL VPN"),
        (r"/dana-na/|/dana-ws/", "Ivanti Pulse Connect Secure"),
        (r"/vpns?/(?:\.\./|portal|cfg)", "Citrix ADC CVE-2019-19781"),
        (r"/autodiscover/|/owa/auth|/ecp/", "Microsoft Exchange ProxyShell"),
        (r"/tmui/login|/mgmt/tm/", "F5 BIG-IP TMUI"),
        (r"/global-protect/|/ssl-vpn/hipreport", "Palo Alto GlobalProtect"),
        (r"/wls-wsat/|/_async/|/console/(?:images|css)/", "Oracle WebLogic"),
        (r"/manager/html|/host-manager/", "Apache Tomcat manager"),
        (r"/solr/", "Apache Solr"),
        (r"/actuator(?:/|\b)", "Spring Boot Actuator exposure"),
        (r"/geoserver/", "GeoServer"),
        (r"/jenkins/|/descriptorbyname/", "Jenkins"),
        (r"/pages/createpage|/confluence/|/wiki/pages/", "Atlassian Confluence"),
        (r"/users/sign_in|/api/v4/", "GitLab"),
        (r"wp-login\.php|xmlrpc\.php|/wp-admin|/wp-content|/wp-json", "WordPress"),
        (r"/phpmyadmin|/pma/|/myadmin", "phpMyAdmin"),
        (r"/administrator/index|com_content|option=com_", "Joomla"),
        (r"/user/register\?element_parents|/sites/default/", "Drupal"),
        (r"/downloader/|/magento", "Magento"),
        (r"/\.env\b", "exposed .env file"),
        (r"/\.git/", "exposed .git repository"),
        (r"/\.aws/|aws_secret", "exposed AWS credentials"),
        (r"169\.254\.169\.254|metadata\.google", "cloud metadata SSRF"),
        (r"etc/passwd|etc/shadow|win\.ini|boot\.ini", "system file disclosure"),
        (r"sleep\s*\(|benchmark\s*\(|waitfor\s+delay|pg_sleep", "time-based blind SQL injection"),
        (r"union(?:\s|/\*.*?\*/)+(?:all\s+)?select", "UNION SELECT SQL injection"),
        (r"information_schema|xp_cmdshell", "SQL injection database takeover"),
        (r"sqlmap", "sqlmap"),
        (r"nikto", "Nikto scanner"),
        (r"nuclei", "Nuclei scanner"),
        (r"masscan", "masscan"),
        (r"zgrab", "ZGrab"),
        (r"gobuster|dirbuster|feroxbuster|ffuf", "web directory brute force"),
        (r"wpscan", "WPScan"),
        (r"/shell\?|cmd=|c99\.php|r57\.php|alfa\.php|wso\.php", "web shell"),
        (r"wget\s+http|curl\s+http|/bins?\.sh|mozi\.", "botnet dropper"),
    )
]


def write_queries(incident: Incident, limit: int) -> tuple[str, ...]:
    """
    At most *limit* queries, the reputation of the address first; none if there is nothing to ask.

    Only a public address is asked about. What the payload is, is asked only when the lines name
    something that the world has a name for.
    """
    queries = []
    if is_searchable(incident.source_ip):
        queries.append(f'"{incident.source_ip}" malicious IP address abuse reports')
    if topics := find_topics(incident):
        words = _FAMILY_WORDS[incident.family]
        queries.append(f"{' '.join(topics)} {words} attack"[:QUERY_LIMIT])
    return tuple(queries[:limit])


def is_searchable(source_ip: str) -> bool:
    """Whether the world can know this address or prefix: public, routed and one host's."""
    try:
        network = ip_network(source_ip, strict=False)
    except ValueError:
        return False
    return network.is_global and not (
        network.is_multicast or network.is_reserved or network.is_unspecified
    )


def find_topics(incident: Incident) -> tuple[str, ...]:
    """Names from the fixed list, and CVE ids, that the evidence and the rules stand for."""
    texts = [_decode(line.line) for line in incident.evidence if line.rule_ids]
    texts += [finding.rule_title.lower() for finding in incident.findings]
    return tuple(dict.fromkeys(_recognise(texts)))[:_MAX_TOPICS]


def _recognise(texts: Iterable[str]) -> Iterable[str]:
    for text in texts:
        yield from (match.upper() for match in _CVE.findall(text))
        yield from (topic for pattern, topic in _TOPICS if pattern.search(text))


def _decode(line: str) -> str:
    # twice: scanners encode twice to get past filters
    return unquote_plus(unquote_plus(line[:_MAX_LINE])).lower()
