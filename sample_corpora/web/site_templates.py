"""The seven site templates around the pages of the sample: navigation, sidebars, cookie banners, scripts and footers."""

# ruff: noqa: E501 - HTML breaks its lines where a real site would

from __future__ import annotations

import html
import json
import zlib
from string import Template

WORDS = {
    "en": "Home|Latest|Topics|About us|Contact|Search|Newsletter|Privacy|Imprint|Related articles|Read more|Share|Sign in|Comments|We use cookies to measure our audience. Choose which of them you allow.|Accept all|Settings|All rights reserved",
    "de": "Start|Neues|Themen|Über uns|Kontakt|Suche|Rundbrief|Datenschutz|Impressum|Ähnliche Beiträge|Weiterlesen|Teilen|Anmelden|Kommentare|Wir verwenden Cookies, um Zugriffe zu zählen. Wählen Sie, welche Sie zulassen.|Alle annehmen|Einstellungen|Alle Rechte vorbehalten",
    "fr": "Accueil|Nouveautés|Rubriques|À propos|Contact|Recherche|Lettre|Vie privée|Mentions légales|À lire aussi|Lire la suite|Partager|Connexion|Commentaires|Nous utilisons des cookies pour mesurer notre audience. Choisissez ceux que vous acceptez.|Tout accepter|Paramètres|Tous droits réservés",
    "es": "Inicio|Novedades|Temas|Quiénes somos|Contacto|Buscar|Boletín|Privacidad|Aviso legal|Artículos relacionados|Leer más|Compartir|Entrar|Comentarios|Usamos cookies para medir las visitas. Elija cuáles permite.|Aceptar todo|Ajustes|Todos los derechos reservados",
    "it": "Home|Novità|Argomenti|Chi siamo|Contatti|Cerca|Notiziario|Privacy|Note legali|Articoli correlati|Continua|Condividi|Accedi|Commenti|Usiamo i cookie per misurare le visite. Scegli quali accettare.|Accetta tutto|Impostazioni|Tutti i diritti riservati",
    "pt": "Início|Novidades|Temas|Quem somos|Contacto|Procurar|Boletim|Privacidade|Aviso legal|Artigos relacionados|Ler mais|Partilhar|Entrar|Comentários|Usamos cookies para medir as visitas. Escolha quais permite.|Aceitar tudo|Definições|Todos os direitos reservados",
}
KEYS = [
    "home",
    "latest",
    "topics",
    "about",
    "contact",
    "search",
    "newsletter",
    "privacy",
    "imprint",
    "related",
    "more",
    "share",
    "signin",
    "comments",
    "cookies",
    "accept",
    "settings",
    "rights",
]
NAMES = [
    "Mara Lindqvist",
    "Tom Okafor",
    "Inés Duarte",
    "Jonas Weber",
    "Priya Nair",
    "Luc Ferrand",
    "Hana Kubo",
    "Sam Whitlow",
    "Chiara Monti",
    "Owen Pryce",
]

STYLE = """<style>
:root { --ink: #1d1d1f; --paper: #fdfdfb; --accent: #0b6e4f; --rule: #d9d6ce; }
* { box-sizing: border-box; }
body { margin: 0; font: 17px/1.6 Georgia, serif; color: var(--ink); background: var(--paper); }
a { color: var(--accent); text-decoration-thickness: 1px; }
.site-header, .site-footer { padding: 1rem 4vw; border-bottom: 1px solid var(--rule); }
.site-header nav ul { display: flex; gap: 1.2rem; list-style: none; padding: 0; }
.cookie-banner { position: fixed; bottom: 0; left: 0; right: 0; padding: 1rem; background: #222; color: #eee; z-index: 99; }
@media (max-width: 700px) { .sidebar { display: none; } .site-header nav ul { flex-wrap: wrap; } }
</style>"""
SCRIPT = """<script>
window.dataLayer = window.dataLayer || [];
function track() { dataLayer.push(arguments); }
track('js', new Date()); track('config', 'SITE-$token', { anonymize: true });
document.addEventListener('DOMContentLoaded', function () {
  var banner = document.querySelector('.cookie-banner');
  if (banner && localStorage.getItem('consent')) { banner.remove(); }
});
</script>"""

MAGAZINE = """<!DOCTYPE html>
<html lang="$lang">
<head>
$meta<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title – $host</title>
<meta name="description" content="$title">
<link rel="canonical" href="$url">
<meta property="og:title" content="$title">
<meta property="og:type" content="article">
$style
<script type="application/ld+json">$ld</script>
</head>
<body class="single">
<a class="skip-link" href="#main">Skip</a>
<header class="site-header">
<div class="logo"><a href="/">$host</a></div>
<nav class="main-navigation" role="navigation"><ul>$navigation</ul></nav>
<form class="search-form" action="/search"><input type="search" name="q" placeholder="$search"><button>$search</button></form>
</header>
<main id="main">
<article class="post">
<h1>$title</h1>
$article
</article>
</main>
<aside class="sidebar" role="complementary">
<section class="widget"><h3>$related</h3><ul>$links</ul></section>
<section class="widget newsletter"><h3>$newsletter</h3><form><input type="email" placeholder="name@host"><button>OK</button></form></section>
</aside>
<footer class="site-footer"><nav><ul><li><a href="/privacy">$privacy</a></li><li><a href="/imprint">$imprint</a></li><li><a href="/contact">$contact</a></li></ul></nav>
<p class="copyright">© 2025 $host. $rights.</p></footer>
<div class="cookie-banner" role="dialog"><p>$cookies</p><button>$accept</button><button>$settings</button></div>
$script
</body>
</html>
"""

BLOG = """<!DOCTYPE html>
<html lang="$lang" class="no-js">
<head>
$meta<title>$title | $host</title>
<link rel="stylesheet" href="/wp-content/themes/quiet/style.css?ver=6.4.$token">
<link rel="alternate" type="application/rss+xml" href="/feed/">
$style
$script
</head>
<body class="post-template-default single single-post postid-$token">
<div id="page" class="site">
<div id="masthead" class="site-header"><p class="site-title"><a href="/">$host</a></p>
<div id="site-navigation" class="menu"><ul id="primary-menu" class="menu">$navigation</ul></div></div>
<div id="content" class="site-content">
<div id="primary" class="content-area">
<div id="post-$token" class="post hentry">
<h1 class="entry-title">$title</h1>
<div class="entry-meta">$date · <a rel="author" href="/author">$author</a></div>
<div class="entry-content">
$article
</div>
<div class="entry-footer"><span class="tags-links"><a href="/t/1">$topics</a>, <a href="/t/2">$latest</a></span>
<div class="sharedaddy share-buttons"><span>$share:</span> <a href="#">Mastodon</a> <a href="#">E-mail</a> <a href="#">RSS</a></div></div>
</div>
<nav class="post-navigation"><div class="nav-previous"><a href="/p">« $previous</a></div><div class="nav-next"><a href="/n">$next »</a></div></nav>
<div id="respond" class="comment-respond"><h3>$comments</h3><form><textarea name="comment"></textarea><input name="author"><button>OK</button></form></div>
</div>
<div id="secondary" class="widget-area sidebar">
<div class="widget widget_recent_entries"><h2 class="widget-title">$latest</h2><ul>$links</ul></div>
<div class="widget widget_archive"><h2 class="widget-title">2024</h2><ul><li><a href="/2024/01">01</a> (4)</li><li><a href="/2024/02">02</a> (7)</li><li><a href="/2024/03">03</a> (2)</li></ul></div>
</div>
</div>
<div id="colophon" class="site-footer footer"><a href="/privacy">$privacy</a> | <a href="/imprint">$imprint</a> | © $host</div>
</div>
<div id="cookie-notice" class="cookie-notice"><span>$cookies</span> <a href="#" class="button">$accept</a></div>
</body>
</html>
"""

NEWS = """<!DOCTYPE html>
<html lang="$lang">
<head>
$meta<title>$title</title>
<meta name="robots" content="index,follow,max-image-preview:large">
<meta property="og:site_name" content="$host">
<script type="application/ld+json">$ld</script>
<script async src="https://cdn.$host/bundle.$token.js"></script>
$style
</head>
<body>
<div class="cookie-consent modal" id="consent-$token"><div class="modal-body"><p>$cookies</p><button class="btn">$accept</button><button class="btn">$settings</button></div></div>
<div class="topbar"><ul class="menu"><li><a href="/login">$signin</a></li><li><a href="/abo">$newsletter</a></li></ul></div>
<header class="header"><a class="logo" href="/"><img src="/logo.svg" alt="$host"></a>
<nav class="navbar"><ul>$navigation</ul></nav></header>
<div class="breadcrumb"><a href="/">$home</a> › <a href="/topics">$topics</a></div>
<div class="wrapper">
<article id="article" class="article">
<header><h1 class="headline">$title</h1>
<div class="byline post-meta">$author, <time datetime="$date">$date</time></div>
<div class="social-share share"><a href="#">$share</a> <a href="#">Mastodon</a> <a href="#">E-mail</a></div></header>
<figure class="lead"><img src="/img/$token.jpg" alt=""></figure>
<div class="article-body">
$article
</div>
</article>
<aside class="related"><h2>$related</h2><ul>$links</ul></aside>
<div class="ad ads banner" data-slot="$token"><a href="/ads"><img src="/ads/$token.gif" alt=""></a></div>
</div>
<footer class="footer"><div class="columns"><ul>$navigation</ul><ul><li><a href="/privacy">$privacy</a></li><li><a href="/imprint">$imprint</a></li></ul></div><p>© 2025 $host – $rights</p></footer>
$script
</body>
</html>
"""

FORUM = """<!DOCTYPE html>
<html lang="$lang">
<head>
$meta<title>$title - $host</title>
<link rel="stylesheet" href="/styles/prosilver/theme/stylesheet.css?assets_version=$token">
$style
</head>
<body id="phpbb" class="nojs section-viewtopic">
<div id="wrap" class="wrap">
<header id="page-header"><div class="headerbar"><a href="/" class="logo">$host</a></div>
<nav class="navbar"><ul class="linklist">$navigation<li><a href="/login">$signin</a></li></ul></nav></header>
<main id="page-body" class="page-body">
<h1 class="topic-title">$title</h1>
$posts
</main>
<aside class="sidebar"><h3>$related</h3><ul>$links</ul></aside>
<div class="pagination"><a href="?start=0">1</a> <a href="?start=10">2</a> <a href="?start=20">3</a></div>
<footer id="page-footer" class="page-footer"><div class="navbar"><a href="/privacy">$privacy</a> <a href="/imprint">$imprint</a></div><div class="copyright">© $host</div></footer>
</div>
<div class="cookie-banner">$cookies <button>$accept</button></div>
$script
</body>
</html>
"""

WIKI = """<!DOCTYPE html>
<html class="client-nojs" lang="$lang" dir="ltr">
<head>
$meta<title>$title – $host</title>
$script
$style
</head>
<body class="mediawiki ltr sitedir-ltr ns-0 page">
<div id="mw-page-base" class="noprint"></div>
<main id="content" class="mw-body">
<h1 id="firstHeading" class="firstHeading">$title</h1>
<div id="bodyContent" class="mw-body-content">
$article
</div>
</main>
<div id="mw-navigation" class="navigation">
<div id="p-personal"><ul><li><a href="/login">$signin</a></li></ul></div>
<div id="mw-panel" class="sidebar"><nav><h3>$home</h3><ul>$navigation</ul></nav><nav><h3>$latest</h3><ul>$links</ul></nav></div>
</div>
<footer id="footer" class="mw-footer"><ul id="footer-info"><li>$date</li></ul><ul id="footer-places"><li><a href="/privacy">$privacy</a></li><li><a href="/about">$about</a></li><li><a href="/imprint">$imprint</a></li></ul></footer>
</body>
</html>
"""

DOCS = """<!doctype html>
<html lang="$lang" data-theme="light">
<head>
$meta<meta name="generator" content="Handbook 2.4">
<title>$title — $host</title>
$style
<link rel="preload" href="/fonts/text-$token.woff2" as="font" crossorigin>
</head>
<body>
<div class="layout">
<nav class="sidebar toc" aria-label="$topics"><a class="brand" href="/">$host</a><ul>$navigation</ul><ul class="chapters">$links</ul></nav>
<div class="content" role="main">
<article class="markdown-body">
<h1>$title</h1>
$article
</article>
<nav class="pager pagination"><a class="prev" href="/prev">← $previous</a><a class="next" href="/next">$next →</a></nav>
</div>
</div>
<footer class="footer"><a href="/privacy">$privacy</a> · <a href="/imprint">$imprint</a> · $date</footer>
$script
<script src="/search-index-$token.js" defer></script>
</body>
</html>
"""

OLD = """<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01 Transitional//EN">
<html lang="$lang"><head>
$meta<title>$title</title>
<script language="JavaScript">
function hover(name) { if (document.images) { document[name].src = 'img/' + name + '_on.gif'; } }
function leave(name) { if (document.images) { document[name].src = 'img/' + name + '.gif'; } }
var visits = parseInt('$token', 10); if (visits > 100) { document.cookie = 'seen=1; path=/'; }
</script>
</head>
<body bgcolor="#ffffee" link="#003366" vlink="#663300">
<table width="820" border="0" cellspacing="0" cellpadding="6" align="center"><tr>
<td colspan="2" bgcolor="#003366" class="header"><font color="#ffffff" size="5"><a href="/">$host</a></font></td></tr>
<tr><td width="160" valign="top" bgcolor="#dddddd" class="sidebar"><ul class="menu">$navigation</ul><hr><ul class="menu">$links</ul></td>
<td valign="top" id="content">
<h1>$title</h1>
$article
</td></tr>
<tr><td colspan="2" align="center" class="footer"><font size="1"><a href="/imprint">$imprint</a> | <a href="/contact">$contact</a> | $date</font></td></tr>
</table>
</body></html>
"""

SITES = {
    "magazine": MAGAZINE,
    "blog": BLOG,
    "news": NEWS,
    "forum": FORUM,
    "wiki": WIKI,
    "docs": DOCS,
    "old": OLD,
}


def render(page: dict, posts: list[str], neighbours: list[dict], charset: str | None) -> str:
    """Return the whole HTML of a page.

    `posts` are the article's pieces (more than one only in a forum), `neighbours` the pages that its menus link to, and
    `charset` what its meta element declares, where it declares one.
    """
    words = dict(zip(KEYS, WORDS.get(page["language"], WORDS["en"]).split("|"), strict=True))
    token = zlib.crc32(page["url"].encode())
    host = page["url"].split("/")[2]
    title = html.escape(page["title"])
    items = [f'<li><a href="{page["url"]}">{html.escape(page["title"])}</a></li>' for page in neighbours]
    date = f"{2012 + token % 13}-{token // 13 % 12 + 1:02d}-{token // 156 % 28 + 1:02d}"
    author = NAMES[token % len(NAMES)]
    navigation = "".join(
        f'<li class="menu-item"><a href="/{key}">{words[key]}</a></li>'
        for key in ("home", "latest", "topics", "about", "contact")
    )
    ld = {"@context": "https://schema.org", "@type": "Article", "headline": page["title"], "datePublished": date}
    boxes = "\n".join(
        f'<div id="p{number}" class="post"><div class="postprofile user-info"><a href="/u/{(token + number) % 997}">user{(token + 31 * number) % 997}</a></div>'
        f'<div class="postbody"><div class="content">\n{post}\n</div></div></div>'
        for number, post in enumerate(posts, start=1)
    )
    return Template(SITES[page["site"]]).substitute(
        {key: html.escape(word) for key, word in words.items()},
        lang=page["language"],
        meta=f'<meta charset="{charset}">\n' if charset else "",
        title=title,
        host=host,
        url=page["url"],
        style=STYLE,
        script=Template(SCRIPT).substitute(token=token % 100000),
        token=token % 100000,
        ld=json.dumps(ld, ensure_ascii=False).replace("<", "\\u003c"),
        navigation=navigation,
        links="\n".join(items),
        article="\n".join(posts),
        posts=boxes,
        author=author,
        date=date,
        previous=html.escape(neighbours[0]["title"]),
        next=html.escape(neighbours[1]["title"]),
    )
