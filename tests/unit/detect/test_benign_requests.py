"""Requests that look odd and are not attacks; every false positive that was found gets a line."""

import pytest

from tasks.detect.rules import load_rules
from tasks.detect.signatures import Strength
from tasks.model.events import Event, EventCategory

TARGETS = r"""
/search?q=C%3A%5CWindows%5CSystem32%5Cdrivers%5Cetc%5Chosts
/find?keyword=%2Fvar%2Flog%2Fauth.log
/search?q=cmd.exe+%2Fc+start
/search?query=powershell+-ExecutionPolicy+Bypass+-File
/search?s=ping+-c+4+8.8.8.8
/search?term=%2Fetc%2Fhosts
/search?q=%3Cscript+src%3D%22app.js%22+defer%3E%3C%2Fscript%3E
/search?q=%26lt%3Bscript%26gt%3B+shows+as+text
/search?q=if+%28a+%3D%3D+1+%7C%7C+b+%3D%3D+2%29
/search?q=..%2F..%2Fnode_modules+not+found
/docs?q=SELECT+%40%40version
/docs?q=exec+sp_who2
/docs?q=waitfor+delay+%2700%3A00%3A05%27
/books?author=D%27Angelo&title=%22Drop+Dead%22+--+A+Novel
/viewvc/trunk/cgi-bin/test.cgi?view=log&pathrev=120
/blob/main/.env.example
/search?q=select+*+from+users+where+id+=+1
/search?q=how+to+use+union+select+in+mysql
/search?q=sql+order+by+two+columns
/search?q=SELECT+name%2C+count(*)+FROM+orders+GROUP+BY+name+HAVING+count(*)+%3E+5
/search?q=insert+into+table+values
/search?q=drop+table+if+exists
/search?q=delete+from+where+not+in
/search?q=case+when+then+else+sql
/search?q=information_schema+tables+mysql
/search?q=enable+xp_cmdshell
/search?q=mysql+select+into+outfile
/search?q=waitfor+delay+sql+server
/search?q=mysql+group_concat()
/search?q=rock+%27n%27+roll+and+blues
/search?q=o%27neill+and+sons
/search?q=don%27t+stop+or+else
/search?q=%22exact+phrase%22+or+%22other+phrase%22
/search?q=%22foo%22+AND+%22bar%22
/search?q=5%27+10%22+height
/search?q=women%27s+shoes+%26+men%27s+boots
/search?q=javascript+document.cookie
/search?q=javascript+array.prototype.map
/search?q=window.location.href+javascript
/search?q=node+child_process+spawn
/search?q=__proto__+javascript
/search?q=php+%24_POST+array
/search?q=php+file_get_contents()
/search?q=java.lang.NullPointerException+at+org.springframework.beans.factory
/search?q=java+ProcessBuilder+example
/search?q=freemarker+template
/search?q=python+os.system+vs+subprocess
/search?q=chmod+777+linux
/search?q=rm+-rf+directory
/search?q=bash+-c+option
/search?q=curl+post+json
/search?q=on+error+resume+next
/search?q=c%2B%2B+std%3A%3Avector%3Cint%3E
/search?q=1+%3C+2+and+3+%3E+2
/search?q=a+%3D+b+or+c+%3D+d
/search?q=100%25+cotton
/search?q=caf%C3%A9+%26+bar
/search?q=what+is+2%2B2%3F
/search?q=50%25+off+--+today+only
/search?q=C%3A%5CProgram+Files+missing
/search?q=%23hashtag
/search?q=email%40example.com
/search?q=price:%5B10+TO+20%5D+AND+type:book
/search?q=(cats+OR+dogs)+AND+food
/search?q=title%3A(foo+bar)+-draft
/search?q=alert+(noun)
/search?q=eval()+function
/search?q=x%3Dy&sort=-date&page=2
/login?return=%2Faccount%3Ftab%3D1%26x%3D2
/login?redirect_uri=https%3A%2F%2Fapp.example.com%2Fcallback%3Fcode%3D1&state=a%2Fb%3D%3D
/oauth/authorize?client_id=abc&scope=openid+profile&response_type=code&nonce=n-0S6_WzA2Mj
/share?u=https%3A%2F%2Fexample.com%2Fa%3Fb%3Dc%23d&t=Hello%20World
/proxy?url=https://example.com/image.png
/odata/Products?$filter=Price gt 5 and Name eq 'Milk'&$top=3&$select=Id,Name
/odata/Products?$filter=contains(Name,'it''s')&$orderby=Price desc
/odata/Orders?$expand=Items($select=Id;$filter=Qty gt 2)
/api/items?filter[price][gte]=10&filter[price][lte]=20
/api/items?where={%22status%22:%22open%22,%22n%22:{%22gt%22:5}}
/api/items?q={%22query%22:%22a%22}
/graphql?query={user(id:1){name,email}}
/graphql?query=query%20Q(%24id%3AID!)%7Buser(id%3A%24id)%7Bname%7D%7D&variables=%7B%22id%22%3A1%7D
/api/v1/query?query=sum(rate(http_requests_total{job=%22a%22}[5m]))%20by%20(instance)
/api/v1/query_range?query=up==1%20and%20on(instance)%20node_load1>0.5&step=15
/jira/rest/api/2/search?jql=project=ABC%20AND%20status=%22In%20Progress%22%20ORDER%20BY%20created
/render?target=alias(sumSeries(a.b.*.c),'x')&from=-1h
/recaptcha/api.js?onload=onloadCallback&render=explicit
/maps/api/js?key=AIza&callback=initMap&libraries=places
/jsonp?callback=jQuery1910_12345&_=1612345
/wp-admin/admin-ajax.php?action=heartbeat
/wp-admin/post.php?post=7&action=edit
/wp-admin/load-scripts.php?c=1&load[]=jquery-core,jquery-migrate,utils
/wp-json/wp/v2/posts?per_page=10&_fields=id,title
/wp-cron.php?doing_wp_cron=1612345.123
/wp-content/plugins/contact-form-7/includes/css/styles.css?ver=5.1
/index.php?option=com_content&view=article&id=5:hello-world&catid=2
/node/5?destination=node/5
/a/../b/c.html
/css/../img/logo.png
/javascript:void(0)
/javascript:;
/javascript:void(0);
/data:image/png;base64,iVBORw0KGgo=
/undefined
/[object%20Object]
/%7B%7Bitem.url%7D%7D
/{{url}}
/items/${id}
/img/photo%20(1).jpg
/files/Report%20Q1%20%26%20Q2%20(final).pdf
/wiki/C%2B%2B
/wiki/Union_(set_theory)
/wiki/SELECT_(SQL)
/wiki/Cross-site_scripting
/wiki//etc
/docs/etc/hosts-file
/questions/1234/how-do-i-use-select-from-where-in-sql
/tag/shell-script
/blog/tags/shell?page=1
/blog/2024/01/what-is-etc-passwd.html
/shop/category;id=7;sort=up
/page;jsessionid=A1B2C3D4?x=1
/cart?items[]=1&items[]=2&coupon=10%25
/t?utm_source=a&utm_content=b|c&utm_term=d;e
/collect?v=1&t=pageview&dl=https%3A%2F%2Fexample.com%2F%3Fa%3Db&dt=It%27s%20a%20%22title%22%20%7C%20Site
/piwik.php?action_name=A%20%2F%20B&url=https%3A%2F%2Fexample.com%2F&_cvar=%7B%221%22%3A%5B%22a%22%2C%22b%22%5D%7D
/ads?sz=300x250|728x90&c=a%3Bb%3Bc
/fonts?family=Open+Sans:300,400|Roboto
/combo?a.js&b.js&c/d.js
/min/?f=/js/a.js,/js/b.js
/feed/?cat=5
/?p=123&preview=true
/?s=it%27s
/?id=12--34
/?d=2024-01-01--2024-02-01
/?a=1&&b=2
/?a=1&amp;b=2&amp;c=3
/?lt=5&gt=3&copy=1&sect=2
/health
/server-status?auto
/.well-known/security.txt
/.well-known/acme-challenge/abc-DEF_123
/.well-known/openid-configuration
/robots.txt
/favicon.ico
/apple-touch-icon-precomposed.png
/ads.txt
/sitemap.xml.gz
/actuator/health
/owa/auth/logon.aspx?url=https%3a%2f%2fmail.example.com%2fowa%2f&reason=0
/autodiscover/autodiscover.xml
/remote/login?lang=en
/git/project.git/info/refs?service=git-upload-pack
/project/-/blob/main/.gitignore
/download/backup-guide.pdf
/packages/package.json
/sql/join-tutorial
/exec-summary?run=monthly
/run?test=load&env=prod
/stats?host=web1&ip=192.0.2.1
/ping?host=example.com
/cmd?x=up
/list?dir=asc&order=name
/calendar?date=2024-02-30&time=10:00
/set?theme=dark
/api?format=json&fields=id,name,type&type=file
/v1/users/me?include=roles,groups
/blog/2013/.../title.html
/api/log?m={%22text%22:%22wait...\n%22}
/say?text=It%27s+%22great%22...+--+Bob
/say?text=%22Yes%22;+he+said+%23winning
/search?q=^foo.*bar$
/search?q=C:\Users\me\file.txt
/search?q=a%7C%7Cb
/search?q=if(x)
/search?q=O%27Reilly+%22Learning+SQL%22
/search?q=L%27Or%C3%A9al+or+Nivea
/search?q=l%27amour+and+%27la+vie%27
/search?q=%27til+tomorrow+--+live
/near?ll=-12.5,130.8&r=5
/near?bbox=-12.5,130.8,-12.4,131
/app?token=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U
/app?id=7f3e2a10-1111-4c1b-9a55-0123456789ab
/app?data=SGVsbG8gV29ybGQhIFRoaXMgaXMgYSB0ZXN0Lg==
/app?data=%7B%22a%22%3A%5B1%2C2%2C3%5D%2C%22b%22%3A%22x%20%26%20y%22%7D
/app?filter=name%20eq%20%27O%27%27Neill%27%20or%20age%20gt%205
/app?filter=(status%3Dopen)AND(type%3Dbug)
/app?filter=(%26(objectClass%3Dperson)(cn%3Dbob))
/app?expr=price*1.2%2B5
/app?where=1%3D1&outFields=*&f=json
/arcgis/rest/services/x/MapServer/0/query?where=OBJECTID%3E0%20AND%20TYPE%3D%27A%27&outFields=*&f=pjson
/solr/core/select?q=title:foo%20AND%20-body:bar&fq={!tag=a}cat:b&sort=score%20desc
/kibana/app/discover#/?_g=(time:(from:now-15m,to:now))
/app?_g=(refreshInterval:(pause:!t,value:0),time:(from:now-15m,to:now))&_a=(columns:!(_source),query:(language:kuery,query:'status:404'))
/prometheus/graph?g0.expr=up%7Bjob%3D%22a%22%7D%20or%20up%7Bjob%3D%22b%22%7D&g0.tab=1
/grafana/api/datasources/proxy/1/query?db=x&q=SELECT%20mean(%22value%22)%20FROM%20%22cpu%22%20WHERE%20time%20%3E%3D%20now()%20-%201h%20GROUP%20BY%20time(1m)
/calendar.ics?start=2024-01-01T00:00:00Z&end=2024-02-01T00:00:00%2B01:00
/image?src=/uploads/photo.jpg&w=100&h=100&fit=crop
/image?url=http%3A%2F%2Fcdn.example.com%2Fa.png%3Fv%3D2
/redirect?to=https%3A%2F%2Fexample.org%2F%3Futm_source%3Dx%26utm_medium%3Dy%23frag
/redirect?url=//example.org/path
/oembed?url=https%3A%2F%2Fwww.youtube.com%2Fwatch%3Fv%3Dabc&format=json
/translate?u=http%3A%2F%2Fexample.com&sl=en&tl=de
/print.php?file=report_2024.pdf
/download.php?file=docs/manual.pdf
/index.php?page=about
/index.php?page=news/2024
/index.php?lang=en&action=view&id=12
/index.php/module/action/param/1
/w/index.php?title=Special:Search&search=%22foo+bar%22&go=Go
/w/index.php?title=Talk:SQL_injection&diff=prev&oldid=123
/wiki/Shellshock_(software_bug)
/wiki/Log4Shell
/questions/tagged/xss+php
/search?q=html+%3Cb%3E+tag
/search?q=%3Cbr%3E+vs+%3Cbr+%2F%3E
/search?q=a%3Cb
/search?q=I+%3C3+you
/search?q=%E2%80%9Cquoted%E2%80%9D+%E2%80%93+dash
/search?q=%D0%BF%D1%80%D0%B8%D0%B2%D0%B5%D1%82
/search?q=%E4%BD%A0%E5%A5%BD
/search?q=%82%A0%82%A2
/search?q=caf%E9+cr%E8me
/search?q=sleep+8+hours
/search?q=benchmark+(computing)
/search?q=load+file+excel
/search?q=char+varchar+difference
/search?q=convert(int,+x)
/search?q=count(*)+vs+count(1)
/search?q=substring(str,1,3)
/search?q=ping+-t+windows
/search?q=cat+and+dog+videos
/search?q=id+card
/search?q=type+2+diabetes;+diet
/search?q=find+my+phone;+now
/search?q=net+user
/search?q=less+is+more;+more+or+less
/search?q=who+is+who
/search?q=set+theory%3B+sort+algorithms
/search?q=a;b;c
/search?q=R%26B+music
/search?q=AT%26T
/search?q=1%2F2+cup
/search?q=$100+bill
/search?q=$variable+php
/search?q=%24%7Bfoo%7D+bash
/search?q=jquery+%24(document).ready
/search?q=%24.ajax+example
/search?q=@media+query
/search?q=%25userprofile%25
/search?q=%23include+%3Cstdio.h%3E
/search?q=for+(int+i=0;+i%3Cn;+i%2B%2B)
/search?q=function()+%7B+return+1+%7D
/search?q=x+%3D%3E+x*2
/search?q=system.out.println(%22hello%22)
/search?q=print(%22hello%22)
/search?q=import+os
/search?q=while(true)+loop
/search?q=std::string
/search?q=foo.bar()
/search?q=[1,2,3]
/search?q={{mustache}}
/search?q=__init__+python
/search?q=../+relative+path
/search?q=.htaccess+redirect
/search?q=.env+file
/search?q=wp-config.php+location
/search?q=phpinfo
/search?q=localhost:3000
/search?q=192.168.1.1
/search?q=http://localhost
/proxy?target=http://localhost:3000/api
/search?q=file:///+protocol
/search?q=data:image/png+url
/search?q=javascript:void(0)
/t/%7B%22id%22%3A1%7D
/track?e=click&el=button%5Bname%3D%22go%22%5D
/track?sel=div%3Anth-child(2)%20%3E%20a%5Bhref%5D
/js/app.js?v=1.0.0-beta%2B5
/css/style.css?#iefix
/fonts/glyphicons.eot?#iefix
/a;v=1.2/b;c=d
/matrix;rows=2;cols=3/data
/path/with%20space/and%27quote
/~user/public_html/
/index.html~
/file.php.txt
/backup/restore-guide
/test
/admin
/.well-known/apple-app-site-association
/.well-known/change-password
/CHANGELOG.md
/config/settings.html
/environment/index.html
/docs/configuration.html
/api/v2/database/tables
/manager/dashboard
/console
/mapi/emsmdb/?MailboxId=aa-bb@example.org
/mapi/nspi/?MailboxId=aa-bb@example.org
/autodiscover/autodiscover.json?Email=user%40example.org&Protocol=ActiveSync&RedirectCount=1
/autodiscover/autodiscover.json/v1.0/user%40example.org?Protocol=Autodiscoverv1
/owa/auth/errorFE.aspx?httpCode=500
/owa/auth/15.1.2507/themes/resources/logon.css
/ecp/15.1.2507.6/scripts/common.js
/_vti_bin/client.svc/ProcessQuery
/_vti_bin/owssvr.dll?UL=1&ACT=4&BUILD=4219&STRMVER=4&CAPREQ=0
/_vti_bin/lists.asmx
/_vti_inf.html
/_layouts/15/Picker.aspx?MultiSelect=True&CustomProperty=User
/Telerik.Web.UI.WebResource.axd?_TSM_HiddenField_=ctl00_RadScriptManager1_TSM&compress=1
/CFIDE/scripts/cfform.js
/cf_scripts/scripts/cfform.js
/job/app/descriptorByName/jenkins.triggers.ReverseBuildTrigger/checkUpstreamProjects
/securityRealm/finishLogin?code=abc&state=xyz
/zabbix/jsrpc.php?output=json-rpc
/cacti/graph_view.php?action=tree&node=tbranch-5
/nacos/v1/ns/instance/beat?app=unknown&serviceName=DEFAULT_GROUP%40%40svc
/xxl-job-admin/api/callback
/_cat/indices?format=json
/api/v1/nodes/5
/api/v1/namespaces
/solr/admin/cores?action=STATUS&wt=json
/solr/products/dataimport?command=delta-import
/jolokia/read/java.lang:type=Memory
/ckfinder/core/connector/php/connector.php?command=GetFiles&type=Images
/fckeditor/editor/fckeditor.html?InstanceName=body
/uploadify/jquery.uploadify.min.js
/js/tiny_mce/plugins/filemanager/editor_plugin.js
/people/dana/
/java/struts-tutorial.html
/blog/ofbiz-review
/index.action?lang=en
/public/index.php?s=/home/index/index
/general/info/page.php?id=1
/api/analytics/telemetry
/api/jsonws/invoke
/plugins/servlet/gadgets/makeRequest
/webtools/control/main
/bbs/board.cgi?no=15
/cgi-bin/shop.cgi?item=5
/cgi-bin/showimage.pl?id=9
/cgi-bin/perldoc?perlfunc
/wp-content/plugins/wp-file-upload/css/style.css?ver=5
/wp-content/plugins/drag-and-drop-multiple-file-upload-contact-form-7/assets/js/codedropz-uploader-min.js
/wp-content/themes/x/timthumb.php?src=http://example.com/wp-content/uploads/a.jpg&w=100
/manager/status?XML=true
/tools/nmap/
/blog/sqlmap-tutorial
/tag/acunetix/
/appsettings.json
/assets/config/config.json
/nightly/latest.tar.gz
/downloads/client.ovpn
/dav/.DS_Store
/proc/2019/paper-12.pdf
/thumb.php?src=http://cdn.example.com/img/madrid.jpg
/out?url=ftp://ftp.example.com/pub/file.zip
/matomo.php?idsite=1&rec=1&url=file%3A%2F%2F%2FC%3A%2FUsers%2Fme%2FDesktop%2Fpage.html
/search?q=List%3CObject%3E
/wfs?filter=%3Cogc%3AFilter%3E%3Cogc%3APropertyIsEqualTo%3E%3Cogc%3ALiteral%3Eb%3C%2Fogc%3ALiteral%3E%3C%2Fogc%3APropertyIsEqualTo%3E%3C%2Fogc%3AFilter%3E
/foo%3C/body%3E
/search?q=regular+expression+(python)
/location.href='/contact'
/window.open('/print/5')
/search?q=hr@grab.com
/search?q=python+metaclass
/search?q=node+execSync
/search?q=ruby+open-uri
/search?q=bash+echo+$PATH
/search?q=fs.readFile()+example
/{{%20$item->image%20}}
/{{this.url}}
/img/{{product.image%20|%20resize}}
/{{%20'logo.png'%20|%20asset_url%20}}
/%7B%7Burl('home')%7D%7D
/api/items?fields=name|id
/api/items?sort=price;id
/jobs?tags=java|python|perl
/search?q=linux;+bash;+python+scripting
/search?q=dogs;+cat+food
/user/repo/-/raw/main/.env.example
/user/repo/-/blob/main/docker-compose.yml
/user/repo/src/branch/main/wp-config-sample.php
/api/v4/projects/1/repository/files/.gitlab-ci.yml?ref=main
/themes/default/../../assets/img/bg.png
/css/../../fonts/roboto.woff2
/session?id=rO0aBcDeFg123
/docs/.env.example
/dav/Keys.kdbx
/.Trash-1000
/man/etc/shadow.5.html
/wp-admin/edit.php?s=%3Cscript%3E&post_status=all
/search?q=C%3A%5CWindows%5CSystem32%5Ccmd.exe
/stores?code=id
/?domain=ps
/api/v2/cmdb/system/interface?access_token=x
/remote/fgt_lang?lang=de
/tmui/login.jsp
/mgmt/shared/authn/login
/mgmt/tm/ltm/virtual?$select=name
/sdk/vimServiceVersions.xml
/v1/agent/checks
/containers/json?all=1&filters=%7B%22label%22%3A%5B%22x%22%5D%7D
/api/endpoints/1/docker/v1.43/containers/json?all=1
/elfinder/php/connector.minimal.php?cmd=open&target=l1_Lw&reload=1
/wp-content/plugins/files/get.php?file=/2024/plan.pdf
/cf_scripts/scripts/ajax/messages/cfmessage.js
/Telerik.Web.UI.WebResource.axd?imgid=8c&type=rbi
/_vti_bin/shtml.exe/_vti_rpc
/+CSCOU+/login-header.jpg
/websso/SAML2/SSO/vsphere.local?SAMLRequest=zVRdb5swFP0ryO9gIEljrJAq
/geoserver/ows?service=WPS&request=Execute&identifier=a
/scripts/wa.exe?A2=LIST;1a2b
/opensis/Modules.php?modname=Students/Student.php
/nacos/v1/cs/configs?dataId=a&group=b
/rest/tinymce/1/macro/placeholder?definition=e3RvY30
""".strip().splitlines()

USER_AGENTS = """
Mozilla/5.0 (Linux; U; Android 4.1.2; id-id; GT-S6310 Build/JZO54K) AppleWebKit/534.30 (KHTML, like Gecko) Version/4.0 Mobile Safari/534.30
Mozilla/5.0 (X11; U; Linux i686; sh; rv:1.9) Gecko/2008 Firefox/3.0
Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)
python-httpx/0.27.0
python-requests/2.31.0
curl/8.5.0
Wget/1.21
Go-http-client/2.0
Apache-HttpClient/4.5.13 (Java/11.0.2)
okhttp/4.9.3
Java/1.8.0_151
Mozilla/5.0 (compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)
Feedly/1.0 (+http://www.feedly.com/fetcher.html; 12 subscribers; like FeedFetcher-Google)
Tiny Tiny RSS/1.11 (http://tt-rss.org/)
facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)
Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)
Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1; .NET CLR 1.1.4322)
kube-probe/1.27
ELB-HealthChecker/2.0
check_http/v2.3.3 (monitoring-plugins 2.3.3)
PostmanRuntime/7.36.0
""".strip().splitlines()

REFERRERS = """
https://www.google.com/search?client=ms-android-samsung&hl=id&q=rage+face&gs_l=mobile-gws-serp.1.1.0l5.55746.58551.0.64162.14.9.0.1.1.0.3101
http://www.google.com/url?sa=t&rct=j&q=mysql%20select%20from%20where&source=web&cd=1&ved=0CC&url=http%3A%2F%2Fexample.com%2F&ei=abc
http://example.com/forum/viewtopic.php?t=1&sid=abc#p5
android-app://com.google.android.gm/
https://t.co/abc
file:///C:/Users/me/page.html
http://localhost:3000/
http://192.168.1.10/dashboard
""".strip().splitlines()


def strong_hits(**fields):
    event = Event(timestamp=0, source_ip="192.0.2.1", category=EventCategory.WEB, **fields)
    hits = load_rules().signature_set.match(event)
    return [hit.id for hit in hits if hit.strength is Strength.STRONG]


@pytest.mark.parametrize("target", TARGETS)
def test_ordinary_requests_hit_no_strong_signature(target):
    """Search boxes, query languages, broken links and software's own addresses are no attacks."""
    path, _, query = target.partition("?")

    hits = strong_hits(url_original=target, url_path=path, url_query=query or None)

    assert hits == []


@pytest.mark.parametrize("user_agent", USER_AGENTS)
def test_ordinary_clients_hit_no_strong_signature(user_agent):
    """Browsers, crawlers, feed readers, monitors and HTTP libraries are no attack tools."""
    assert strong_hits(user_agent_original=user_agent) == []


@pytest.mark.parametrize("referrer", REFERRERS)
def test_ordinary_referrers_hit_no_strong_signature(referrer):
    """Search engines pass on what people searched for."""
    assert strong_hits(http_request_referrer=referrer) == []
